/** Files that are put somewhere, and taken away again. */
import { type Digest, hexOf } from '../../core/digest.ts';
import type { Body, Call, ChangeSet, Decide, Desk, Entry, Intent, View } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';
import { Problem } from '../../core/problem.ts';
import { checkClaims, claimsIn } from './digest-claims.ts';

/** A path is a package of its own, and what lies there its one version. */
const version = 'current';

const octets = 'application/octet-stream';

/** As the client says. What curl and wget call a form when nobody tells them what it is, is none. */
function contentTypeOf({ headers }: Call): string {
  const told = headers['content-type']?.trim() ?? '';
  if (/^application\/x-www-form-urlencoded\b/i.test(told)) return octets;
  return told.length <= 200 && /^[\w.+-]+\/[\w.+-]+\s*(?:;[\x20-\x7e]*)?$/.test(told) ? told : octets;
}

/** As answers to GET have it. */
const etagOf = (digest: Digest): string => `"${digest.replace(':', '-')}"`;

/** RFC 9110, 13.1: judged by what is published here, whatever an upstream has. */
function checkConditions({ headers }: Call, before: Entry | undefined): void {
  const has = (condition: string, isWeakEnough: boolean): boolean => {
    if (!before) return false;
    const tags = condition.split(',').map((tag) => tag.trim());
    const ours = etagOf(before.digest);
    return tags.includes('*') || tags.includes(ours) || (isWeakEnough && tags.includes(`W/${ours}`));
  };
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (match !== undefined && !has(match, false)) {
    throw new Problem(
      'precondition_failed',
      before
        ? 'The file is another one than If-Match names by now.'
        : 'There is no such file here, but If-Match asks for one.',
    );
  }
  if (noneMatch !== undefined && has(noneMatch, true)) {
    throw new Problem('precondition_failed', 'There is such a file already, and If-None-Match asks for none.');
  }
}

function replyWith(status: number, text: string, headers: Body['headers'] = {}): Body {
  return {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', ...headers },
    bytes: Buffer.from(`${text}\n`),
  };
}

function refuseParts({ headers }: Call): void {
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (coding !== 'identity' && coding !== '') {
    throw new Problem('unsupported_media_type', 'Files are kept as they are sent: send it without Content-Encoding.');
  }
  // RFC 9110, 14.5: taken for the whole, it would be a shorter file.
  if (headers['content-range'] !== undefined) {
    throw new Problem('bad_request', 'Files are put in one piece: send it without Content-Range.');
  }
}

export interface Rules {
  isMutable(path: string): boolean;
}

async function receiveFile(
  path: string,
  { isMutable }: Rules,
  call: Call,
  body: AsyncIterable<Uint8Array>,
  desk: Desk,
): Promise<Decide> {
  refuseParts(call);
  const { bytes, verify } = checkClaims(claimsIn(call.headers), body);
  const file = await desk.add(bytes);
  verify();
  const [digest] = file.digests;
  if (digest === undefined) throw new Error('A staged file has no digest.');
  const mutable = isMutable(path);
  const headers = { etag: etagOf(digest), 'x-checksum-sha256': hexOf(digest) };
  return (hosted: View): ChangeSet => {
    const before = hosted.entry(path);
    checkConditions(call, before);
    if (before?.digest === digest) {
      return { name: path, reply: replyWith(200, `${path} is here already, with the same bytes.`, headers) };
    }
    if (before && !mutable && !hosted.overwrites) {
      throw new Problem(
        'conflict',
        `${path} is published already, with other bytes, and files stay as they are. Put it at another path, or have the repository call this one mutable.`,
      );
    }
    return {
      name: path,
      put: [{ path, file, contentType: contentTypeOf(call), ...(mutable ? { mutable } : {}) }],
      records: [{ version, facts: {}, files: [path] }],
      reply: before
        ? replyWith(200, `${path} is replaced.`, headers)
        : replyWith(201, `${path} is published.`, { ...headers, location: `${call.base}/${encodePath(path)}` }),
    };
  };
}

function refuseFolder(path: string): void {
  if (path === '' || path.endsWith('/')) {
    throw new Problem('bad_request', 'This is a folder. Folders come and go with the files in them: name a file.');
  }
}

export function putFile(call: Call, rules: Rules): Intent {
  const { path = '' } = call.params;
  refuseFolder(path);
  return {
    kind: 'change',
    action: 'publish',
    name: path,
    receive: (received, body, desk) => receiveFile(path, rules, received, body, desk),
  };
}

export function deleteFile(call: Call): Intent {
  const { path = '' } = call.params;
  refuseFolder(path);
  return {
    kind: 'change',
    action: 'delete',
    name: path,
    async receive(received, body) {
      for await (const _chunk of body);
      return (hosted): ChangeSet => {
        const before = hosted.entry(path);
        if (!before) throw new Problem('not_found', `${path} is not published here, so it can't be deleted.`);
        checkConditions(received, before);
        return { name: path, removes: [version], reply: { status: 204, bytes: Buffer.alloc(0) } };
      };
    },
  };
}
