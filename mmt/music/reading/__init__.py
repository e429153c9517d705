"""Files to `muspy.Music`: MIDI, MusicXML, ABC."""
