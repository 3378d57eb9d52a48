// @ts-check
/** Reads the sample rate from a sound file's header: decoding at the file's own rate loses nothing. */

/** The usual rate in browsers, in Hz; files of other formats are resampled to it. */
const DEFAULT_RATE = 48_000;
const MP3_RATES = [44_100, 48_000, 32_000];

/** @param {ArrayBuffer} content */
export function rateOf(content) {
  const view = new DataView(content);
  const rate = content.byteLength < 64 ? 0 : (riff(view) ?? flac(view) ?? ogg(view) ?? mp3(view) ?? 0);
  return rate >= 8_000 && rate <= 192_000 ? rate : DEFAULT_RATE;
}

/** @param {DataView} view @param {number} at @param {string} word */
const says = (view, at, word) => [...word].every((letter, i) => view.getUint8(at + i) === letter.charCodeAt(0));

/** @param {DataView} view */
function riff(view) {
  if (!says(view, 0, "RIFF") || !says(view, 8, "WAVE")) return null;
  for (let at = 12; at + 16 < view.byteLength; ) {
    if (says(view, at, "fmt ")) return view.getUint32(at + 12, true);
    at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2);
  }
  return null;
}

/** @param {DataView} view */
const flac = (view) => (says(view, 0, "fLaC") ? view.getUint32(18) >>> 12 : null);

/** @param {DataView} view */
function ogg(view) {
  if (!says(view, 0, "OggS")) return null;
  const first = 27 + view.getUint8(26);
  return says(view, first + 1, "vorbis") ? view.getUint32(first + 12, true) : DEFAULT_RATE; // Opus: always 48 kHz
}

/** @param {DataView} view */
function mp3(view) {
  let at = 0;
  if (says(view, 0, "ID3")) {
    at = 10 + [6, 7, 8, 9].reduce((size, place) => (size << 7) | (view.getUint8(place) & 127), 0);
  }
  if (at + 4 > view.byteLength || view.getUint16(at) >>> 5 !== 0x7ff) return null;
  const version = (view.getUint8(at + 1) >>> 3) & 3; // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
  const rate = MP3_RATES[(view.getUint8(at + 2) >>> 2) & 3];
  return rate ? rate / { 3: 1, 2: 2, 1: 1, 0: 4 }[/** @type {0 | 1 | 2 | 3} */ (version)] : null;
}
