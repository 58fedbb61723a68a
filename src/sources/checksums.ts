/** Digests that upstream tells beside an artifact: in its answer's headers, or in files of their own. */
import { claimsOf } from '../core/claims.ts';
import { type Algorithm, algorithmOf, type Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Artifact, Checksums } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { Asking } from '../core/source.ts';
import type { Reply, Upstream } from '../upstream/client.ts';
import { aboutOf, type Locate, refuseStatus, viaOf } from './asking.ts';
import { wholeBody } from './obtain.ts';

type Headers = Readonly<Record<string, string | undefined>>;

export interface ToldParts {
  /** The upstream's name, for messages. */
  readonly id: string;
  readonly upstream: Upstream;
  readonly locate: Locate;
}

export interface Told {
  /**
   * Asks for what is told about bytes that are about to be asked for themselves. What it returns is called once for each
   * answer with them. `ahead`: the files are asked for at the same time, unless upstream is known to say it in headers.
   */
  before(want: Artifact, asking: Asking, ahead: boolean): (headers: Headers) => Promise<readonly Digest[]>;
  /** The digest of one algorithm from its file; `undefined`: there is no such file. */
  one(want: Artifact, algorithm: Algorithm, asking: Asking): Promise<Digest | undefined>;
}

/** A digest and a file name have room in it. */
const longestFileBytes = 4096;

export function createTold({ id, upstream, locate }: ToldParts): Told {
  /** Whether the last answer with bytes had a digest in its headers. */
  let saysInHeaders = false;
  /** The algorithm whose file was there last. */
  let usual: Algorithm | undefined;

  async function read(
    want: Artifact,
    checksums: Checksums,
    file: Checksums['files'][number],
    asking: Asking,
  ): Promise<Digest | undefined> {
    const reply = await upstream.ask({
      method: 'GET',
      url: await locate(file.path, asking),
      headers: { 'accept-encoding': 'identity', ...viaOf(asking) },
      claims: claimsOf(asking),
      requestId: asking.requestId,
      ...aboutOf(want),
    });
    if (reply.status === 404 || reply.status === 410) {
      reply.discard();
      return undefined;
    }
    if (reply.status !== 200) {
      reply.discard();
      refuseStatus(reply.status, file.path, id);
    }
    const digest = checksums.read(await bytesOf(reply, file.path), file.algorithm);
    if (digest && algorithmOf(digest) === file.algorithm) {
      usual = file.algorithm;
      return digest;
    }
    const reason = `there is no ${file.algorithm} in it`;
    publish('document.invalid', { url: reply.url, reason });
    throw new Problem('upstream_invalid', `${id} sent something for ${file.path} that is no checksum: ${reason}.`);
  }

  async function bytesOf(reply: Reply, path: string): Promise<Buffer> {
    try {
      return await wholeBody(reply, longestFileBytes);
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Problem('upstream_unavailable', `${id} broke off its answer for ${path}; try again in a moment.`, {
        retryAfterSeconds: 5,
        cause: error,
      });
    }
  }

  /** The one that usually is there first. */
  const inOrder = ({ files }: Checksums): Checksums['files'] =>
    files.toSorted((a, b) => Number(b.algorithm === usual) - Number(a.algorithm === usual));

  return {
    before(want, asking, ahead) {
      const { checksums } = want;
      if (!checksums) return async () => [];
      const [likely, ...others] = inOrder(checksums);
      if (!likely) return async (headers) => checksums.fromHeaders?.(headers) ?? [];
      const askLikely = (): Promise<Digest | undefined> => {
        const asked = read(want, checksums, likely, asking);
        // Not looked at when upstream does not have the artifact either.
        asked.catch(() => undefined);
        return asked;
      };
      let asked = ahead && !saysInHeaders ? askLikely() : undefined;
      return async (headers) => {
        const inHeaders = checksums.fromHeaders?.(headers) ?? [];
        saysInHeaders = inHeaders.length > 0;
        if (saysInHeaders) return inHeaders;
        const digest = await (asked ?? askLikely());
        // A second attempt with the bytes looks at the files anew as well.
        asked = undefined;
        if (digest) return [digest];
        const found = await Promise.all(others.map((file) => read(want, checksums, file, asking)));
        return found.filter((one) => one !== undefined);
      };
    },
    async one(want, algorithm, asking) {
      const file = want.checksums?.files.find((known) => known.algorithm === algorithm);
      return file && want.checksums ? read(want, want.checksums, file, asking) : undefined;
    },
  };
}
