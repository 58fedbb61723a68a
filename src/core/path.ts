/** Paths below a repository: taken apart and decoded exactly once, so that no later step has to ask whether one is safe. */
import { Problem } from './problem.ts';

/** Of the raw path. Longer than any path a package client is known to build; keeps hostile ones cheap. */
export const maxPathBytes = 2048;
/** Of one decoded segment. */
export const maxSegmentBytes = 512;

/** Everything that needs a second look: escapes, separators of other systems, dots at the start, non-printing and non-ASCII characters. */
const suspicious = /[%\\]|^\.|[^!-~]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const control = /[\u0000-\u001f\u007f-\u009f]/;
/** What is left after one round of decoding and would turn into a dot, a slash, a backslash or a control character in the next. */
const doublyEncoded = /%(?:25)*(?:2e|2f|5c|[01][0-9a-f]|7f)/i;
/** `..` and `.`, also in front of a semicolon, where some servers cut parameters off. */
const dots = /^\.{1,2}(?:;|$)/;

function refuse(why: string): never {
  throw new Problem('bad_path', `This path can't be served: ${why}.`);
}

function decode(raw: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything outside ASCII is what it looks for.
  if (/[^\u0000-\u007f]/.test(raw)) refuse('it has characters that must be percent-encoded');
  let text: string;
  try {
    text = decodeURIComponent(raw);
  } catch {
    return refuse('its percent-encoding is broken');
  }
  if (control.test(text)) refuse('it has control characters');
  if (text.includes('\\')) refuse('it has a backslash');
  if (doublyEncoded.test(text)) refuse('it is percent-encoded twice');
  for (const part of text.split('/')) {
    if (part === '') refuse('a segment of it is empty');
    if (dots.test(part)) refuse('it has a `.` or `..` segment');
  }
  if (Buffer.byteLength(text) > maxSegmentBytes) refuse('a segment of it is too long');
  return text;
}

/**
 * The decoded segments of a raw request path that starts with a slash and has no query. Only the last may be empty: that is a
 * trailing slash. A segment may contain an encoded slash (npm's scopes), and then each side of it is as safe as a
 * segment. Throws `bad_path` or `uri_too_long`.
 */
export function decodePath(raw: string): string[] {
  if (raw.length > maxPathBytes) {
    throw new Problem('uri_too_long', `The path is longer than ${maxPathBytes} bytes.`);
  }
  if (raw.charCodeAt(0) !== 0x2f) refuse('it does not start with a slash');
  const segments = raw.slice(1).split('/');
  const last = segments.length - 1;
  for (let i = 0; i <= last; i++) {
    const segment = segments[i] as string;
    if (segment === '') {
      if (i !== last) refuse('a segment of it is empty');
    } else if (segment.length > maxSegmentBytes || suspicious.test(segment)) {
      segments[i] = decode(segment);
    }
  }
  return segments;
}

/** Whether a decoded path, as intents and links carry it, stays below where it is put and came out of `decodePath`. */
export function isSafePath(path: string): boolean {
  if (Buffer.byteLength(path) > maxPathBytes) return false;
  if (control.test(path) || path.includes('\\') || doublyEncoded.test(path)) return false;
  return path.split('/').every((part) => part !== '' && !dots.test(part) && Buffer.byteLength(part) <= maxSegmentBytes);
}

/** What encodeURIComponent escapes although a path segment may hold it as it is (RFC 3986, pchar). `+` stays escaped: object stores read it as a blank. */
const plain: Readonly<Record<string, string>> = {
  '%40': '@',
  '%3A': ':',
  '%2C': ',',
  '%3D': '=',
  '%26': '&',
  '%24': '$',
};

/** One segment, or text with slashes in it that are to be escaped, for use in a URL. */
export function encodeSegment(segment: string): string {
  if (/^[\w.~!*'()@:,=&$-]*$/.test(segment)) return segment;
  return encodeURIComponent(segment).replace(/%(?:40|3A|2C|3D|26|24)/g, (code) => plain[code] ?? code);
}

/** A decoded path for use in a URL; its slashes stay slashes. The opposite of `decodePath`. */
export function encodePath(path: string): string {
  if (/^[\w.~!*'()@:,=&$/-]*$/.test(path)) return path;
  return path.split('/').map(encodeSegment).join('/');
}
