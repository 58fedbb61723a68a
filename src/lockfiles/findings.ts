/** What is found on the way through a file: each thing once, nothing that is no name, nothing that a terminal would obey. */
import type { Digest } from '../core/digest.ts';
import type { Wanted } from '../core/warm.ts';
import { LockfileError, limits, type MissedRequest, type ReadLockfile, type Skipped } from './lockfile.ts';

/** A `Wanted` before it is known to be one; what is absent may be `undefined`. */
export interface Finding {
  readonly format: string;
  readonly name: string;
  readonly version?: string | undefined;
  readonly url?: string | undefined;
  readonly file?: string | undefined;
  readonly digests?: readonly Digest[];
  readonly platform?: string | undefined;
  readonly registry?: string | undefined;
  readonly optional?: boolean;
  /** Key or line. */
  readonly at: string;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for; also those that change direction.
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Most texts, for which this is quicker. */
const plain = /^[ -~]*$/;

/** One line that a terminal shows as it stands. */
export function printable(text: string, longest = 300): string {
  const line = plain.test(text) ? text : text.replace(unprintable, ' ');
  return line.length > longest ? `${line.slice(0, longest)}…` : line;
}

/** What nearly all names look like. */
const usual = /^[A-Za-z0-9@_~+:-][A-Za-z0-9@_~+:.-]*(?:\/[A-Za-z0-9@_~+:-][A-Za-z0-9@_~+:.-]*)*$/;

/** Names, versions, files and platforms: nothing blank or unprintable, and no step up or down the path. */
function isName(text: string | undefined): boolean {
  if (text === undefined) return true;
  if (text === '' || text.length > 512) return false;
  if (usual.test(text)) return true;
  if (/[\s\\]/.test(text) || printable(text, 512) !== text) return false;
  return text.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** Why a finding is none. */
function mistakeIn({ name, version, file, platform }: Finding): string | undefined {
  if (!isName(name)) return 'that is no name of a package';
  if (!isName(version)) return 'that is no version of a package';
  if (!isName(file) || file?.includes('/')) return `"${printable(file ?? '', 80)}" is no name of a file`;
  if (!isName(platform)) return `"${printable(platform ?? '', 80)}" is no name of a platform`;
  return undefined;
}

/** A web address without what must not be shown, and without its fragment; `undefined` for anything else, `file:` included. */
export function webAddress(text: string | undefined): string | undefined {
  if (text === undefined || text.length > 4096 || !/^https?:\/\/[!-~]+$/i.test(text) || !URL.canParse(text))
    return undefined;
  const url = new URL(text);
  if (url.username === '' && url.password === '' && url.hash === '') return text;
  url.username = '';
  url.password = '';
  url.hash = '';
  return url.href;
}

/** Decoded; `undefined` when the address ends in a slash. */
export function lastSegment(address: string): string | undefined {
  const segment = new URL(address).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(segment) || undefined;
  } catch {
    return segment;
  }
}

/** Collects for one file. */
export class Findings {
  readonly #fileName: string;
  readonly #wanted = new Map<string, Wanted>();
  readonly #skipped = new Map<string, Skipped>();
  readonly #requests = new Map<string, MissedRequest>();
  readonly #notes = new Set<string>();
  #count = 0;

  constructor(fileName: string) {
    this.#fileName = printable(fileName);
  }

  /** The first of several is the one that is named; it is optional only when all of them are. */
  want(finding: Finding): void {
    const { format, name, version, digests = [], at } = finding;
    const { file, platform, optional = false } = finding;
    this.#counted();
    const wrong = mistakeIn(finding);
    if (wrong !== undefined) {
      this.skip(version === undefined ? name : `${name} ${version}`, wrong, at);
      return;
    }
    const url = webAddress(finding.url);
    const registry = finding.registry && isName(finding.registry) ? finding.registry : webAddress(finding.registry);
    // A line feed is in none of them.
    const key = [format, name, version, file, platform, registry, url, ...digests].join('\n');
    const before = this.#wanted.get(key);
    if (before && (optional || !before.optional)) return;
    this.#wanted.set(key, {
      format,
      name,
      ...(version === undefined ? {} : { version }),
      ...(url === undefined ? {} : { url }),
      ...(file === undefined ? {} : { file }),
      digests,
      ...(platform === undefined ? {} : { platform }),
      ...(registry === undefined ? {} : { registry }),
      ...(optional ? { optional } : {}),
      from: before?.from ?? this.#from(at),
    });
  }

  /** `why` is a sentence without its full stop. */
  skip(what: string, why: string, at: string): void {
    this.#counted();
    const skipped = { what: printable(what), why: printable(why), from: this.#from(at) };
    const key = JSON.stringify([skipped.what, skipped.why]);
    if (!this.#skipped.has(key)) this.#skipped.set(key, skipped);
  }

  /** What the file does not say, and what to do then. A whole sentence. */
  note(sentence: string): void {
    this.#notes.add(sentence);
  }

  request(request: Omit<MissedRequest, 'from'>, at: string): void {
    this.#counted();
    const key = JSON.stringify([request.repository, request.path, request.accept]);
    if (!this.#requests.has(key)) this.#requests.set(key, { ...request, from: this.#from(at) });
  }

  #from(at: string): string {
    return `${this.#fileName}: ${printable(at)}`;
  }

  #counted(): void {
    if (++this.#count > limits.entries) {
      throw new LockfileError(
        `it has more than ${limits.entries} entries; take it apart, and read each part by itself`,
      );
    }
  }

  /** What was found so far. */
  result(kind: string): ReadLockfile {
    return {
      kind,
      wanted: [...this.#wanted.values()],
      skipped: [...this.#skipped.values()],
      notes: [...this.#notes],
      requests: [...this.#requests.values()],
    };
  }
}
