/** `/info/{gem}`: what each version needs, the digest of its file and when it was published. */
import { type Digest, parseDigest } from '../../core/digest.ts';
import type { DocumentType, Link, Origin } from '../../core/format.ts';
import { pageText, releasesOf } from './release.ts';
import { bodyStart, bufferOf, checkDigest, pageBody, textBody, textType } from './text.ts';

/** `1.1.0-java dep1:>= 1.0&< 3,dep2:= 2|checksum:…,ruby:>= 2.0,created_at:2024-05-01T12:00:00Z` */
export interface Line {
  readonly text: string;
  /** With the platform where it is not `ruby`. */
  readonly version: string;
  /** Of the `.gem`. Servers from before 2014 tell none. */
  readonly digest?: Digest;
  readonly createdAt?: string;
}

export interface Info {
  /** Absent once lines are missing. */
  readonly bytes?: Uint8Array;
  readonly lines: readonly Line[];
}

/** Throws on anything that is no line of such a page. */
export function readLine(text: string): Line {
  const blank = text.indexOf(' ');
  const version = text.slice(0, blank);
  if (blank === -1 || !/^\d[0-9A-Za-z._-]*$/.test(version)) throw new Error(`"${text.slice(0, 100)}" is no version`);
  const bar = text.indexOf('|', blank);
  let digest: Digest | undefined;
  let createdAt: string | undefined;
  for (const fact of bar === -1 ? [] : text.slice(bar + 1).split(',')) {
    if (fact.startsWith('checksum:')) {
      digest = parseDigest(`sha256:${fact.slice('checksum:'.length).trim()}`);
      if (!digest) throw new Error(`version ${version} has a checksum that is no SHA-256`);
    } else if (fact.startsWith('created_at:')) createdAt = fact.slice('created_at:'.length).trim();
  }
  return {
    text,
    version,
    ...(digest === undefined ? {} : { digest }),
    ...(createdAt === undefined ? {} : { createdAt }),
  };
}

function linesOf(bytes: Uint8Array): readonly Line[] {
  const page = bufferOf(bytes);
  return page
    .toString('utf8', bodyStart(page))
    .split('\n')
    .filter((line) => line !== '')
    .map(readLine);
}

/** What one line says about the file of that version. */
export function linkOf(name: string, { version, digest, createdAt }: Line): Link {
  return {
    path: `gems/${name}-${version}.gem`,
    version,
    ...(digest === undefined ? {} : { digests: [digest] }),
    ...(createdAt === undefined ? {} : { publishedAt: createdAt }),
  };
}

/** The last line of a version is the one that counts. */
function links({ lines }: Info, { path }: Origin): Link[] {
  const name = path.slice('info/'.length);
  return [...new Map(lines.map((line) => [line.version, line])).values()].map((line) => linkOf(name, line));
}

const pageOf = ({ bytes, lines }: Info): Uint8Array =>
  bytes ?? Buffer.from(`---\n${lines.map(({ text }) => `${text}\n`).join('')}`);

/** No merging: a name is the first source's that has it, with all its versions. */
export const info: DocumentType<Info> = {
  id: 'info',
  limit: 16 * 1024 * 1024,
  contentType: textType,
  ranges: true,
  decode(bytes, origin) {
    checkDigest(bytes, origin);
    return { bytes, lines: linesOf(bytes) };
  },
  links,
  render({ name = '' }, view) {
    const releases = releasesOf(view, name);
    return releases.length === 0 ? undefined : textBody(pageText(releases));
  },
  withhold(page, refused) {
    const lines = page.lines.filter(({ version }) => !refused(version));
    return lines.length === page.lines.length ? page : { lines };
  },
  encode: (page) => pageBody(pageOf(page)),
};

/** The line of a version on a page that was not decoded yet. Throws if it is no such page. */
export function findLine(bytes: Uint8Array, version: string): Line | undefined {
  return linesOf(bytes).findLast((line) => line.version === version);
}
