/** Blobs that come, whole or piece by piece (distribution specification 1.1, "Pushing blobs"). */
import type { Answer, Body, Call, Digest, Upload, UploadState } from '../../core/format.ts';
import { blobPath, locationOf, readDigest, uploadPath } from './name.ts';
import { errorBody, refuse } from './problem.ts';

const contentType = 'application/octet-stream';

const nothing = Buffer.alloc(0);

/** `POST /{name}/blobs/uploads/`: begins a session, is the whole upload (`?digest=`), or takes a blob over (`?mount=`). */
export function startUpload(call: Call, name: string): Upload | Answer {
  const { query } = call;
  const whole = query.get('digest');
  if (whole !== null) return finished(call, name, whole);
  const algorithm = query.get('digest-algorithm');
  if (algorithm !== null && algorithm !== 'sha256' && algorithm !== 'sha512') {
    return refuse(
      400,
      'DIGEST_INVALID',
      `Digests of ${algorithm.slice(0, 50)} can't be checked: use sha256 or sha512.`,
    );
  }
  const digest = readDigest(query.get('mount') ?? '');
  const from = query.get('from');
  return {
    kind: 'upload',
    step: 'open',
    name,
    reply: (state) => (state.state === 'done' && digest ? created(call, name, digest) : going(call, name, state, 202)),
    ...(digest
      ? {
          mount: {
            ...(from ? { from } : {}),
            digest,
            at: (there: string) => blobPath(there, digest),
            path: blobPath(name, digest),
            contentType,
          },
        }
      : {}),
  };
}

/** `GET`: how far it came. */
export function uploadStatus(call: Call, name: string, session: string): Upload {
  return { kind: 'upload', step: 'status', name, session, reply: (state) => going(call, name, state, 204) };
}

/** `PATCH`: more of it. */
export function appendUpload(call: Call, name: string, session: string): Upload | Answer {
  const range = rangeOf(call);
  if (range === 'invalid') return invalidRange();
  return {
    kind: 'upload',
    step: 'append',
    name,
    session,
    ...(range === undefined ? {} : { offset: range }),
    reply: (state) => going(call, name, state, 202),
  };
}

/** `PUT`: the rest of it, if there is any, and what all of it should be. */
export function finishUpload(call: Call, name: string, session: string): Upload | Answer {
  const range = rangeOf(call);
  if (range === 'invalid') return invalidRange();
  return finished(call, name, call.query.get('digest') ?? '', session, range);
}

/** `DELETE`. */
export function cancelUpload(call: Call, name: string, session: string): Upload {
  return { kind: 'upload', step: 'cancel', name, session, reply: (state) => going(call, name, state, 204) };
}

function finished(call: Call, name: string, text: string, session?: string, offset?: number): Upload | Answer {
  const digest = readDigest(text);
  if (!digest) {
    const what =
      text === '' ? 'An upload is finished with a digest' : `${text.slice(0, 150)} is no digest that can be checked`;
    return refuse(400, 'DIGEST_INVALID', `${what}: sha256: and 64, or sha512: and 128 lower-case hexadecimal digits.`);
  }
  return {
    kind: 'upload',
    step: 'finish',
    name,
    ...(session === undefined ? {} : { session }),
    ...(offset === undefined ? {} : { offset }),
    target: { path: blobPath(name, digest), digest, contentType },
    reply: (state) => (state.state === 'done' ? created(call, name, digest) : going(call, name, state, 202)),
  };
}

/**
 * Where the bytes of a request begin, as it says. `undefined`: it does not. The specification has no unit before the numbers
 * (`0-99`); with one, as in HTTP, it means the same.
 */
function rangeOf({ headers }: Call): number | 'invalid' | undefined {
  const text = headers['content-range'];
  if (text === undefined) return undefined;
  const [, from, to] = /^(?:bytes[ =])?\s*(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(text.trim()) ?? [];
  if (from === undefined || to === undefined) return 'invalid';
  const length = Number(to) - Number(from) + 1;
  const said = headers['content-length'];
  if (length < 0 || (said !== undefined && Number(said) !== length)) return 'invalid';
  return Number(from);
}

const invalidRange = (): Answer =>
  refuse(
    400,
    'SIZE_INVALID',
    'Content-Range says something else than what is sent: it is first and last byte, as in 0-1023.',
  );

function created({ base }: Call, name: string, digest: Digest): Body {
  return {
    status: 201,
    headers: { location: locationOf(base, blobPath(name, digest)), 'docker-content-digest': digest },
    bytes: nothing,
  };
}

/** `Range` is of what arrived; of nothing too it is `0-0`, as everybody's is (dockerd reads two numbers, the second not smaller). */
function going({ base }: Call, name: string, { session, size, state }: UploadState, status: number): Body {
  if (state === 'cancelled') return { status: 204, bytes: nothing };
  const headers = {
    location: locationOf(base, uploadPath(name, session)),
    range: `0-${Math.max(0, size - 1)}`,
    'docker-upload-uuid': session,
  };
  if (state !== 'misplaced') return { status, headers, bytes: nothing };
  const message = `These bytes do not begin where the last ones ended: ${size} arrived so far.`;
  const body = errorBody(416, 'BLOB_UPLOAD_INVALID', message, { size });
  return { ...body, headers: { ...body.headers, ...headers } };
}
