// The song: music as the page gets it. Python makes it in `mmt.music.page.song`, which documents its entries.

/** The notes of a song in order of onset; `from` and `to` are beats, `start` and `stop` are seconds. */
export function notesOf(song) {
  const notes = song.parts.flatMap((part, index) => {
    const rows = [];
    for (let i = 0; i < part.notes.length; i += 4) {
      const [onset, duration, pitch, velocity] = part.notes.slice(i, i + 4);
      const from = onset / song.resolution, to = (onset + duration) / song.resolution;
      const start = toSeconds(song, from), stop = toSeconds(song, to);
      rows.push({ part: index, drums: part.drums, from, to, start, stop, pitch, velocity });
    }
    return rows;
  });
  return notes.sort((a, b) => a.from - b.from);
}

// song.tempos: rows of (beat, second, seconds per beat from there on).
function tempoBefore(song, value, column) {
  let found = song.tempos[0];
  for (const row of song.tempos) if (row[column] <= value) found = row;
  return found;
}

/** Seconds from the beginning to a beat. */
export function toSeconds(song, beat) {
  const [from, second, perBeat] = tempoBefore(song, beat, 0);
  return second + (beat - from) * perBeat;
}

/** The beat at a second from the beginning. */
export function toBeats(song, second) {
  const [beat, from, perBeat] = tempoBefore(song, second, 1);
  return beat + (second - from) / perBeat;
}

/** Seconds as m:ss. */
export function asClock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
