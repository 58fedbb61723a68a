/** Receives files that come in several requests, or that are here already under another name. */
import type { Access } from '../core/access.ts';
import type { Digest } from '../core/digest.ts';
import type { Identity, StagedFile, Upload, UploadState } from '../core/format.ts';
import { nameOfIdentity } from '../core/identity.ts';
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Blobs, OpenBlob } from '../store/blobs.ts';
import type { Hosting } from '../store/hosting.ts';
import type { HeldUpload, UploadOwner, Uploads } from '../store/uploads.ts';
import type { Answer } from './answer.ts';
import { answerOf, commitChange } from './change.ts';
import { refusedByStore } from './refused-by-store.ts';

export interface UploadContext {
  readonly access: Access;
  readonly blobs: Pick<Blobs, 'open'>;
  readonly uploads: Uploads;
  /** By `org/name`. */
  readonly repository: (id: string) => Repository | undefined;
  /** What is published in a repository, if anything can be. */
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  /** Bytes that may still be published in it. */
  readonly roomFor: (repository: Repository) => number;
}

export interface UploadRequest {
  readonly id: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Refuses a body that says that it is longer before it is asked for; throws `too_large` and `request_timeout`. */
  readonly stream: (limitBytes: number) => AsyncIterable<Uint8Array>;
}

/** What all steps of one request share. */
interface Step {
  readonly context: UploadContext;
  readonly repository: Repository;
  readonly hosting: Hosting;
  readonly intent: Upload;
  readonly request: UploadRequest;
  readonly identity: Identity;
  readonly owner: UploadOwner;
}

/** Whether the name may be published to has been looked at, and is not again: an upload may take longer than its credentials last. */
export async function answerUpload(
  context: UploadContext,
  repository: Repository,
  hosting: Hosting,
  intent: Upload,
  request: UploadRequest,
  identity: Identity,
): Promise<Answer> {
  const owner = { repository: repository.id, name: intent.name, by: nameOfIdentity(identity) };
  const step: Step = { context, repository, hosting, intent, request, identity, owner };
  switch (intent.step) {
    case 'open':
      return (await mount(step)) ?? open(step);
    case 'status': {
      const size = await context.uploads.sizeOf(intent.session ?? '', owner);
      if (size === undefined) throw unknown();
      return reply(step, { session: intent.session ?? '', size, state: 'open' });
    }
    case 'append':
      return withSession(step, (held) => append(step, held));
    case 'finish':
      return withSession(step, (held) => finish(step, held));
    case 'cancel':
      return withSession(step, async (held) => {
        await held.discard();
        return reply(step, { session: held.id, size: held.size, state: 'cancelled' });
      });
  }
}

const unknown = (): Problem =>
  new Problem('not_found', 'There is no such upload here: it has ended, was never begun, or is too old. Begin anew.');

const reply = ({ intent }: Step, state: UploadState): Answer => answerOf(intent.reply(state));

async function open(step: Step): Promise<Answer> {
  const held = await step.context.uploads.open(step.owner).catch(refusedByStore);
  await held.release();
  return reply(step, { session: held.id, size: 0, state: 'open' });
}

/** What is whole at once has a session only while it is being received. */
async function withSession(step: Step, work: (held: HeldUpload) => Promise<Answer>): Promise<Answer> {
  const { context, intent, owner } = step;
  const { session } = intent;
  const held = await (session === undefined ? context.uploads.open(owner) : context.uploads.hold(session, owner)).catch(
    refusedByStore,
  );
  if (!held) throw unknown();
  try {
    return await work(held);
  } catch (error) {
    // What broke off can be gone on with; what was refused would be refused again.
    const isOver = error instanceof Problem && error.status < 500 && error.code !== 'request_timeout';
    if (session === undefined || isOver) await held.discard();
    throw error;
  } finally {
    await held.release();
  }
}

async function append(step: Step, held: HeldUpload): Promise<Answer> {
  const taken = await take(step, held);
  return reply(step, { session: held.id, size: held.size, state: taken ? 'open' : 'misplaced' });
}

async function finish(step: Step, held: HeldUpload): Promise<Answer> {
  const { context, intent, repository } = step;
  const { target } = intent;
  if (!target) throw new Problem('bad_request', 'What is being finished needs a digest.');
  if (!(await take(step, held))) return reply(step, { session: held.id, size: held.size, state: 'misplaced' });
  const digests = await held.verify(target.digest, repository.format.digests).catch(refusedByStore);
  const file: StagedFile = { size: held.size, digests, read: (offset, length) => held.read(offset, length) };
  const [sha256] = digests;
  let blob: OpenBlob | undefined;
  try {
    return await put(step, { ...target, file, session: held.id }, async () => {
      // Asked a second time only if it was lost meanwhile.
      if (!blob) await held.commit(sha256 as Digest).catch(refusedByStore);
      blob ??= await context.blobs.open(sha256 as Digest);
      if (!blob) throw lost();
    });
  } finally {
    blob?.close();
  }
}

/** The body, where it belongs. False: it does not begin where the last one ended. */
async function take(step: Step, held: HeldUpload): Promise<boolean> {
  const { intent, request, repository } = step;
  if (intent.offset !== undefined && intent.offset !== held.size) return false;
  const room = roomFor(step, held);
  refuseTooLong(step, held.size, room);
  const left = Math.max(0, Math.min(repository.maxFileBytes, room) - held.size);
  await held.append(request.stream(left), repository.maxFileBytes).catch((error: unknown) => {
    const isRoom = room < repository.maxFileBytes && error instanceof Problem && error.code === 'too_large';
    throw isRoom ? noRoom(repository, 'The file does not fit', room) : refusedByStore(error);
  });
  return true;
}

/** Other uploads that are under way take room, too: or many of them would fill the disk with what nobody may publish. */
function roomFor({ context, repository }: Step, { id }: HeldUpload): number {
  return context.roomFor(repository) - context.uploads.pendingBytes(repository.id, id);
}

/** Before a byte of the body is read, so that nobody uploads for nothing. */
function refuseTooLong({ repository, request }: Step, sizeBytes: number, room: number): void {
  const bytes = sizeBytes + Number(request.headers['content-length'] ?? 0);
  if (bytes > room) throw noRoom(repository, `${bytes} bytes do not fit`, room);
}

const noRoom = ({ id, org }: Repository, what: string, room: number): Problem =>
  new Problem(
    'quota_exceeded',
    `${what}: ${Math.max(0, room)} bytes are left for ${id}. Delete versions that nobody needs, or have maxSize raised for the repository or for ${org}.`,
  );

interface Arrival {
  readonly path: string;
  readonly contentType: string;
  readonly file: StagedFile;
  readonly session: string;
}

async function put(step: Step, { path, contentType, file, session }: Arrival, land: () => Promise<void>) {
  const { context, repository, hosting, intent, request, identity } = step;
  const body = intent.reply({ session, size: file.size, state: 'done' });
  await commitChange(context, repository, hosting, {
    decide: () => ({ name: intent.name, put: [{ path, file, contentType }], reply: body }),
    action: 'publish',
    called: 'upload',
    name: intent.name,
    identity,
    requestId: request.id,
    land,
  });
  return answerOf(body);
}

/**
 * Takes the file from where it is published already. `undefined`: it is nowhere where this client may read; which of the two
 * is not told, and the client uploads it.
 */
async function mount(step: Step): Promise<Answer | undefined> {
  const { mount: wanted } = step.intent;
  if (!wanted) return undefined;
  for await (const { hosting, name } of places(step, wanted.from)) {
    const entry = hosting.view({ only: name }).entry(wanted.at(name));
    if (entry?.name !== name || !entry.digests.includes(wanted.digest)) continue;
    const blob = await step.context.blobs.open(entry.digest);
    if (!blob) continue;
    try {
      const file: StagedFile = {
        size: entry.size,
        digests: entry.digests,
        read: (offset, length) => blob.read(offset, length),
      };
      return await put(step, { path: wanted.path, contentType: wanted.contentType, file, session: '' }, async () => {});
    } finally {
      blob.close();
    }
  }
  return undefined;
}

interface Place {
  readonly hosting: Hosting;
  readonly name: string;
}

/** Where the file may be, as far as the client may read there. */
async function* places(step: Step, from: string | undefined): AsyncGenerator<Place> {
  const { context, repository, hosting, identity } = step;
  const { access } = context;
  if (from === undefined) {
    for (const name of hosting.view().names()) {
      if (access.mayDo(repository, identity, 'read', name)) yield { hosting, name };
    }
    return;
  }
  const [, id = '', inside = ''] = /^([^/]+\/[^/]+)\/(.+)$/.exec(from) ?? [];
  const other = context.repository(id);
  if (other && other.format.id === repository.format.id) {
    const there = context.hostingOf(other);
    await access.ready(other.org);
    await there?.ready();
    if (there && access.mayDo(other, identity, 'read', inside)) yield { hosting: there, name: inside };
  }
  if (access.mayDo(repository, identity, 'read', from)) yield { hosting, name: from };
}

const lost = (): Problem =>
  new Problem('storage_unavailable', 'What was sent could not be kept: it was gone right after it was written.');
