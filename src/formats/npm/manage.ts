/** Everything that changes a package: new versions, and what is said of those that are there. */
import type { Call, Change, ChangeSet, Decide, Desk, RecordChange, View } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import {
  type AboutFacts,
  aboutFacts,
  deprecationOf,
  isOwner,
  isVisibility,
  keptTags,
  type Owner,
  ownerOf,
  textIn,
  type VersionFacts,
  versionFacts,
} from './hosted.ts';
import { isObject, type Json, jsonBody, parseJson, parseJsonValue } from './json.ts';
import { isName, tarballPath, versionOf } from './name.ts';
import { type Attachment, isTag, objectIn, receiveVersion } from './publish.ts';
import { readPublishBody } from './publish-body.ts';

/** Bytes of a body that holds a tag, a setting or nothing. */
const smallBody = 64 * 1024;
const mostOwners = 1000;

const done = (status = 200) => ({ ...jsonBody({ ok: true, success: true }), status });

function notHosted(name: string): Problem {
  return new Problem('not_found', `${name} was not published here, so it can't be changed here.`);
}

function aboutHosted(hosted: View, name: string): AboutFacts {
  const about = aboutFacts(hosted, name);
  if (!about) throw notHosted(name);
  return about;
}

/** Changes are made to a state that the client has read; `undefined`: it does not say which. */
function checkRevision(hosted: View, name: string, revision: unknown): void {
  const current = hosted.about(name)?.revision;
  if (revision === undefined || current === undefined || revision === current) return;
  throw new Problem(
    'conflict',
    `${name} was changed by somebody else in the meantime: read it again and repeat the change.`,
  );
}

async function readSmall(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > smallBody) throw new Problem('too_large', `The request body is longer than ${smallBody} bytes.`);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

function parseBody<T>(bytes: Uint8Array, parse: (bytes: Uint8Array) => T): T {
  try {
    return parse(bytes);
  } catch (error) {
    throw new Problem('bad_request', 'The request body is not the JSON that this address takes.', { cause: error });
  }
}

/** As a document lists them; the first word of `name <mail>` is a name too. */
function ownersIn(list: unknown, before: readonly Owner[], by: Desk['by']): Owner[] {
  const malformed = (why: string): Problem => new Problem('bad_request', `The list of maintainers ${why}.`);
  if (!Array.isArray(list) || list.length === 0) throw malformed('is empty: a package has at least one');
  if (list.length > mostOwners) throw malformed('is too long');
  const owners = new Map<string, Owner>();
  for (const one of list) {
    const name = textIn(one, 'name')?.replace(/\s*<.*$/, '');
    if (name === undefined || !/^[\w.@+-]{1,128}$/.test(name)) throw malformed('has somebody without a name');
    const email = isObject(one) ? textIn(one, 'email') : undefined;
    const org = ownerOf(by)?.org;
    const known = before.find((owner) => owner.name === name);
    if (known) {
      owners.set(name, known);
      continue;
    }
    owners.set(name, {
      name,
      ...(email === undefined ? {} : { email: email.slice(0, 256) }),
      ...(org === undefined ? {} : { org }),
    });
  }
  return [...owners.values()];
}

function sameOwners(a: readonly Owner[], b: readonly Owner[]): boolean {
  const names = (owners: readonly Owner[]): string =>
    owners
      .map(({ name }) => name)
      .sort()
      .join('\n');
  return names(a) === names(b);
}

/** `deprecated` of each version as the document has it; an empty text takes it back. */
function deprecations(hosted: View, name: string, versions: Json): RecordChange[] {
  return hosted.records(name).flatMap((record): RecordChange[] => {
    const told = Object.hasOwn(versions, record.version) ? versions[record.version] : undefined;
    if (!isObject(told)) return [];
    const facts = versionFacts(record);
    const text = typeof told.deprecated === 'string' ? told.deprecated.slice(0, 4096) : '';
    if (text === deprecationOf(record)) return [];
    const { deprecated, ...rest } = facts;
    const changed: VersionFacts = text === '' ? rest : { ...rest, deprecated: text };
    return [{ version: record.version, facts: { ...changed } }];
  });
}

/**
 * The whole document again with what is to be different: deprecated versions and, where it names a revision, missing ones; or
 * maintainers alone. Versions that others published, as a merged document has them, are left alone.
 */
function decideDocument(name: string, document: Json, revision: string | undefined, desk: Desk): Decide {
  return (hosted): ChangeSet => {
    const about = aboutHosted(hosted, name);
    checkRevision(hosted, name, revision);
    checkRevision(hosted, name, typeof document._rev === 'string' ? document._rev : undefined);
    const versions = isObject(document.versions) ? document.versions : undefined;
    const records = versions ? deprecations(hosted, name, versions) : [];
    const removes =
      versions && revision !== undefined
        ? hosted.records(name).flatMap(({ version }) => (Object.hasOwn(versions, version) ? [] : [version]))
        : [];
    // A whole document repeats the maintainers that it was read with, and after a merge those may be somebody else's.
    const owners = versions ? about.owners : ownersIn(document.maintainers, about.owners, desk.by);
    const left = hosted.records(name).flatMap(({ version }) => (removes.includes(version) ? [] : [version]));
    const tags = removes.length > 0 ? keptTags(about.tags, left, objectIn(document, 'dist-tags')) : about.tags;
    const isNewOwner = !sameOwners(owners, about.owners);
    return {
      name,
      ...(records.length > 0 ? { records } : {}),
      ...(removes.length > 0 ? { removes } : {}),
      ...(isNewOwner || removes.length > 0 ? { about: { ...about, owners, tags } } : {}),
      ...(isNewOwner && !isOwner(about.owners, desk.by) ? { needs: 'admin' as const } : {}),
      reply: done(),
    };
  };
}

async function receiveDocument(
  name: string,
  revision: string | undefined,
  body: AsyncIterable<Uint8Array>,
  desk: Desk,
): Promise<Decide> {
  const attachments = new Map<string, Attachment>();
  const document = await readPublishBody(body, async (key, bytes) => {
    if (attachments.has(key)) throw new Problem('bad_request', 'The request has the same attachment twice.');
    if (attachments.size > 0) throw new Problem('bad_request', 'One package is published with one request.');
    attachments.set(key, { key, file: await desk.add(bytes, desk.limit) });
  });
  if (attachments.size > 0) return receiveVersion(name, document, [...attachments.values()], desk);
  if (document.versions === undefined && document.maintainers === undefined) {
    throw new Problem('bad_request', 'The request has neither a package nor anything that could be changed.');
  }
  return decideDocument(name, document, revision, desk);
}

/** `PUT /{name}`: a new version (with an attachment), or deprecated ones. */
export function putPackage(call: Call): Change | undefined {
  const name = call.params.name ?? '';
  if (!isName(name)) return undefined;
  return {
    kind: 'change',
    action: 'publish',
    name,
    // Base64 is longer than what is in it: the package is held to the limit once it is decoded.
    limit: Number.MAX_SAFE_INTEGER,
    receive: (_call, body, desk) => receiveDocument(name, undefined, body, desk),
  };
}

/** `PUT /{name}/-rev/{rev}`: versions that are missing are taken away; or other maintainers. */
export function putRevision(call: Call): Change | undefined {
  const { name = '', rev = '' } = call.params;
  if (!isName(name)) return undefined;
  return {
    kind: 'change',
    action: 'publish',
    name,
    limit: Number.MAX_SAFE_INTEGER,
    receive: (_call, body, desk) => receiveDocument(name, rev, body, desk),
  };
}

async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  await readSmall(body);
}

/** `DELETE /{name}/-rev/{rev}`: all of it. */
export function deletePackage(call: Call): Change | undefined {
  const { name = '', rev = '' } = call.params;
  if (!isName(name)) return undefined;
  return {
    kind: 'change',
    action: 'delete',
    name,
    limit: smallBody,
    async receive(_call, body) {
      await drain(body);
      return (hosted) => {
        aboutHosted(hosted, name);
        checkRevision(hosted, name, rev);
        return { name, removes: hosted.records(name).map(({ version }) => version), reply: done() };
      };
    },
  };
}

/** `DELETE /{name}/-/{file}.tgz/-rev/{rev}`: what is left to do after the version was taken out of the document, so mostly nothing. */
export function deleteTarball(call: Call): Change | undefined {
  const { name = '', file = '', rev = '' } = call.params;
  const version = versionOf(name, file);
  if (!isName(name) || version === undefined) return undefined;
  return {
    kind: 'change',
    action: 'delete',
    name,
    version,
    limit: smallBody,
    async receive(_call, body) {
      await drain(body);
      return (hosted) => {
        checkRevision(hosted, name, rev);
        const about = aboutFacts(hosted, name);
        if (!about || !hosted.record(name, version) || !hosted.entry(tarballPath(name, version))) {
          return { name, reply: done() };
        }
        const left = hosted.records(name).flatMap((record) => (record.version === version ? [] : [record.version]));
        return { name, removes: [version], about: { ...about, tags: keptTags(about.tags, left) }, reply: done() };
      };
    },
  };
}

function changeTags(
  call: Call,
  receive: (tag: string, body: AsyncIterable<Uint8Array>) => Promise<(about: AboutFacts, hosted: View) => Json>,
): Change | undefined {
  const { name = '', tag = '' } = call.params;
  if (!isName(name)) return undefined;
  return {
    kind: 'change',
    action: 'publish',
    name,
    limit: smallBody,
    async receive(_call, body) {
      const decide = await receive(tag, body);
      return (hosted) => {
        const about = aboutHosted(hosted, name);
        const tags = decide(about, hosted);
        return { name, about: { ...about, tags }, reply: jsonBody({ ok: true, 'dist-tags': tags }) };
      };
    },
  };
}

/** `PUT /-/package/{name}/dist-tags/{tag}`: the body is the version, a JSON text. */
export function putTag(call: Call): Change | undefined {
  const name = call.params.name ?? '';
  return changeTags(call, async (tag, body) => {
    const version = parseBody(await readSmall(body), parseJsonValue);
    if (!isTag(tag)) throw new Problem('bad_request', `${JSON.stringify(tag)} can't be a dist-tag.`);
    if (typeof version !== 'string') throw new Problem('bad_request', 'The request body is not the text of a version.');
    return (about, hosted) => {
      if (!hosted.record(name, version)) {
        throw new Problem(
          'not_found',
          `${name}@${version.slice(0, 256)} was not published here, so no tag can name it.`,
        );
      }
      return { ...about.tags, [tag]: version };
    };
  });
}

export function deleteTag(call: Call): Change | undefined {
  const name = call.params.name ?? '';
  return changeTags(call, async (tag, body) => {
    await drain(body);
    return ({ tags }) => {
      if (tag === 'latest')
        throw new Problem('bad_request', 'A package always has a latest version: move the tag instead.');
      if (!Object.hasOwn(tags, tag)) throw new Problem('not_found', `${name} has no dist-tag ${tag}.`);
      const { [tag]: _gone, ...rest } = tags;
      return rest;
    };
  });
}

function changeOwners(
  call: Call,
  receive: (body: AsyncIterable<Uint8Array>, by: Desk['by']) => Promise<(before: readonly Owner[]) => readonly Owner[]>,
): Change | undefined {
  const name = call.params.name ?? '';
  if (!isName(name)) return undefined;
  return {
    kind: 'change',
    action: 'publish',
    name,
    limit: smallBody,
    async receive(_call, body, desk) {
      const change = await receive(body, desk.by);
      return (hosted) => {
        const about = aboutHosted(hosted, name);
        return {
          name,
          about: { ...about, owners: change(about.owners) },
          ...(isOwner(about.owners, desk.by) ? {} : { needs: 'admin' as const }),
          reply: done(),
        };
      };
    },
  };
}

/** `PUT /-/package/{name}/owners`, as pnpm from version 12 adds one. */
export function putOwner(call: Call): Change | undefined {
  return changeOwners(call, async (body, by) => {
    const { user } = parseBody(await readSmall(body), parseJson);
    return (before) => ownersIn([...before, { name: user }], before, by);
  });
}

/** `DELETE /-/package/{name}/owners/{user}`, likewise. */
export function deleteOwner(call: Call): Change | undefined {
  const { name = '', user = '' } = call.params;
  return changeOwners(call, async (body, by) => {
    await drain(body);
    return (before) => {
      const left = before.filter((owner) => owner.name !== user);
      if (left.length === before.length) throw new Problem('not_found', `${user} is no owner of ${name}.`);
      return ownersIn(left, before, by);
    };
  });
}

/** `POST /-/package/{name}/access`: kept and told; who may read is said by the organisation's rules and projects. */
export function postAccess(call: Call): Change | undefined {
  const name = call.params.name ?? '';
  if (!isName(name)) return undefined;
  return {
    kind: 'change',
    action: 'publish',
    name,
    limit: smallBody,
    async receive(_call, body, desk) {
      const { access } = parseBody(await readSmall(body), parseJson);
      if (access === undefined || access === null) {
        throw new Problem(
          'bad_request',
          'Only public and restricted can be set: second factors are asked for elsewhere.',
        );
      }
      const wanted = access === 'private' ? 'restricted' : access;
      if (!isVisibility(wanted)) throw new Problem('bad_request', 'The access of a package is public or restricted.');
      return (hosted) => {
        const about = aboutHosted(hosted, name);
        return {
          name,
          about: { ...about, access: wanted },
          ...(isOwner(about.owners, desk.by) ? {} : { needs: 'admin' as const }),
          reply: {
            ...jsonBody(
              { ok: true },
              { 'npm-notice': `Noted. Who may read ${name} is said by the rules and projects of the organisation.` },
            ),
          },
        };
      };
    },
  };
}
