/** `gem push`, `gem yank`, `gem owner`: what each of them sends, and what it comes to. */
import { deflateSync } from 'node:zlib';
import { type Specification, writeSpecification } from '../../codecs/gem-marshal.ts';
import { type Part, parts } from '../../codecs/multipart.ts';
import { readAll } from '../../codecs/tar.ts';
import type { Body, Call, Change, ChangeSet, Decide, Desk, Put, StagedFile, View } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { gemspecPath } from './gemspec.ts';
import { gemPath, isName } from './name.ts';
import { readGem } from './package.ts';
import { factsOf } from './release.ts';
import { fullNameOf } from './spec.ts';
import { textBody } from './text.ts';
import { fullVersionOf, spellingsOf } from './version.ts';

const maxFormBytes = 64 * 1024;
const maxAttestationsBytes = 4 * 1024 * 1024;
const octets = 'application/octet-stream';

export function attestationsPath(full: string): string {
  return `api/v1/attestations/${full}.json`;
}

/** Printed as it is. */
function said(text: string): Body {
  return textBody(`${text}\n`);
}

const titleOf = ({ name, version, platform }: Specification): string => `${name} (${fullVersionOf(version, platform)})`;

interface Sent {
  readonly gem: StagedFile;
  /** A list in JSON, kept as it came. */
  readonly attestations?: Uint8Array;
}

function checkAttestations(bytes: Uint8Array): Uint8Array {
  let list: unknown;
  try {
    list = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list))
    throw new Problem('bad_request', 'The attestations that came with the gem are no JSON list.');
  return bytes;
}

async function small(bytes: AsyncIterable<Uint8Array>, limit: number, what: string): Promise<Uint8Array> {
  try {
    return await readAll(bytes, limit);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('too_large', `${what} may have ${limit} bytes and has more.`, { cause: error });
  }
}

/** RubyGems sends a form when it has attestations, and the gem alone when it has none. */
async function receiveForm(type: string, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Sent> {
  let gem: StagedFile | undefined;
  let attestations: Uint8Array | undefined;
  const take = async ({ name, bytes }: Part): Promise<void> => {
    if (name === 'gem' && !gem) gem = await desk.add(bytes);
    else if (name === 'attestations' && !attestations) {
      attestations = checkAttestations(await small(bytes, maxAttestationsBytes, 'The list of attestations'));
    }
  };
  for await (const part of parts(type, body, { parts: 16, fieldBytes: maxAttestationsBytes })) await take(part);
  if (!gem) throw new Problem('bad_request', 'The form has no field gem, in which the gem would be.');
  return { gem, ...(attestations ? { attestations } : {}) };
}

async function receiveSent(call: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Sent> {
  const type = call.headers['content-type'] ?? octets;
  return /^multipart\//i.test(type) ? receiveForm(type, body, desk) : { gem: await desk.add(body) };
}

/** URL of the project that its source is in, the most exact first. */
function sourceOf({ metadata, homepage }: Specification): { readonly source?: string } {
  const urls = [metadata.source_code_uri, metadata.homepage_uri, homepage];
  const source = urls.find((url) => url !== undefined && /^https?:\/\//i.test(url));
  return source === undefined ? {} : { source };
}

/** What is in the way of it. Throws `conflict`. */
function refuseTaken(hosted: View, spec: Specification): void {
  const { name, version, platform } = spec;
  const file = hosted.entry(gemPath(fullNameOf(spec)));
  if (file && file.name !== name) {
    throw new Problem('conflict', `${fullNameOf(spec)}.gem is the file of ${file.name} already.`);
  }
  for (const spelling of spellingsOf(version)) {
    if (spelling === version || !hosted.record(name, fullVersionOf(spelling, platform))) continue;
    const message = `${name} ${version} is the same version as ${spelling}, which is published already.`;
    throw new Problem('conflict', message);
  }
}

async function receivePush(call: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Decide> {
  const { gem, attestations } = await receiveSent(call, body, desk);
  const spec = await readGem(gem);
  const { name, version, platform } = spec;
  const full = fullNameOf(spec);
  const fullVersion = fullVersionOf(version, platform);
  const [sha256 = ''] = gem.digests;
  const put: Put[] = [
    { path: gemPath(full), file: gem, contentType: octets },
    // Made from the gem, by whatever version of Larder: that may differ in its bytes and says the same.
    {
      path: gemspecPath(full),
      file: await desk.add(deflateSync(writeSpecification(spec))),
      contentType: octets,
      mutable: true,
    },
  ];
  if (attestations) {
    put.push({
      path: attestationsPath(full),
      file: await desk.add(attestations),
      contentType: 'application/json',
      mutable: true,
    });
  }
  return (hosted): ChangeSet => {
    const before = hosted.record(name, fullVersion);
    if (before?.yanked) {
      throw new Problem('conflict', `${titleOf(spec)} was yanked: push the next version, this one can't come back.`);
    }
    if (before?.files.some(({ path, digest }) => path === gemPath(full) && digest === sha256)) {
      return { name, reply: said(`Gem was already pushed: ${titleOf(spec)}`) };
    }
    if (before && !hosted.overwrites) {
      const message = `Repushing of gem versions is not allowed: ${titleOf(spec)} is published already, with other bytes. Push the next version.`;
      throw new Problem('conflict', message);
    }
    refuseTaken(hosted, spec);
    const owners = hosted.about(name)?.facts.owners;
    const { name: first } = desk.by;
    return {
      name,
      put,
      records: [
        {
          version: fullVersion,
          facts: { ...factsOf(spec, sha256.slice('sha256:'.length)) },
          files: put.map(({ path }) => path),
          ...sourceOf(spec),
        },
      ],
      ...(owners === undefined && first !== undefined ? { about: { owners: [{ handle: first }] } } : {}),
      reply: said(`Successfully registered gem: ${titleOf(spec)}`),
    };
  };
}

export const push: Change = { kind: 'change', action: 'publish', receive: receivePush };

/** A form in the body, also of a DELETE. */
async function formIn(body: AsyncIterable<Uint8Array>): Promise<URLSearchParams> {
  return new URLSearchParams(Buffer.from(await small(body, maxFormBytes, 'The form')).toString('utf8'));
}

async function receiveYank(_call: Call, body: AsyncIterable<Uint8Array>): Promise<Decide> {
  const form = await formIn(body);
  const [name = '', number = '', platform = ''] = ['gem_name', 'version', 'platform'].map((key) =>
    form.get(key)?.trim(),
  );
  if (!isName(name) || number === '') {
    throw new Problem('bad_request', 'To yank takes gem_name and version, and the platform where it is not ruby.');
  }
  const version = fullVersionOf(number, platform || 'ruby');
  return (hosted): ChangeSet => {
    const record = hosted.record(name, version);
    if (!record) throw new Problem('not_found', `${name} (${version.slice(0, 100)}) is not published here.`);
    const { facts, yanked } = record;
    if (yanked) return { name, reply: said(`${name} (${version}) has already been yanked.`) };
    return {
      name,
      records: [{ version, facts, yanked: true }],
      reply: said(`Successfully yanked gem: ${name} (${version})`),
    };
  };
}

export const yank: Change = { kind: 'change', action: 'delete', limit: maxFormBytes, receive: receiveYank };

/** Who is named as somebody to turn to. What they may do is for the rules to say. */
export interface Owner {
  readonly handle?: string;
  readonly email?: string;
}

export function ownersOf(hosted: View, name: string): readonly Owner[] | undefined {
  const about = hosted.about(name);
  return about && ((about.facts.owners ?? []) as readonly Owner[]);
}

async function receiveOwner(call: Call, body: AsyncIterable<Uint8Array>): Promise<Decide> {
  const form = await formIn(body);
  const name = call.params.name ?? '';
  const who = (form.get('email') ?? form.get('owner') ?? call.query.get('email') ?? '').trim();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
  if (who === '' || who.length > 255 || /[\u0000-\u001f\u007f]/.test(who)) {
    throw new Problem('bad_request', 'An owner is named in the field email, by handle or by address.');
  }
  const owner: Owner = who.includes('@') ? { email: who } : { handle: who };
  const isOwner = (one: Owner): boolean => one.email === owner.email && one.handle === owner.handle;
  return (hosted): ChangeSet => {
    const owners = ownersOf(hosted, name);
    if (!owners) throw new Problem('not_found', `No gem ${name} is published here.`);
    const others = owners.filter((one) => !isOwner(one));
    if (call.method === 'DELETE') {
      if (others.length === owners.length) throw new Problem('not_found', `${who} is no owner of ${name}.`);
      if (others.length === 0)
        throw new Problem('forbidden', `${who} is the only owner of ${name}: add another one first.`);
      return { name, about: { owners: others }, reply: said('Owner removed successfully.') };
    }
    if (others.length >= 100) throw new Problem('bad_request', `${name} has 100 owners, and can have no more.`);
    return { name, about: { owners: [...others, owner] }, reply: said('Owner added successfully.') };
  };
}

export function changeOwners(call: Call): Change | undefined {
  const { name = '' } = call.params;
  if (!isName(name)) return undefined;
  return { kind: 'change', action: 'admin', name, limit: maxFormBytes, receive: receiveOwner };
}
