"""`muspy.Music` to files: MIDI, MusicXML."""
