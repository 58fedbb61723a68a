/** Publishes a version at an upstream, in the protocol of its format: what was published here goes out as it is. */
import type { Outgoing, PackageRecord, ReadableFile } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Blobs } from '../store/blobs.ts';
import type { Hosting } from '../store/hosting.ts';

export interface ReleaseOptions {
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  readonly blobs: Pick<Blobs, 'open'>;
  /** An upstream of the configuration that the organisation may publish to; `undefined`: there is none of that name. */
  readonly upstream: (name: string, org: string) => ReleaseUpstream | undefined;
}

export interface ReleaseUpstream {
  readonly url: string;
  readonly format?: string;
  /** Sends once; never again by itself. Throws a Problem when it is not reached. */
  send(request: {
    readonly method: 'PUT' | 'POST';
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: AsyncIterable<Uint8Array>;
  }): Promise<{ readonly status: number; readonly text: string }>;
}

export type Release = (
  repository: Repository,
  upstream: string,
  name: string,
  version: string,
) => Promise<{ readonly status: number; readonly message: string }>;

export function createRelease({ hostingOf, blobs, upstream: find }: ReleaseOptions): Release {
  return async (repository, upstreamName, name, version) => {
    const { format } = repository;
    const upstream = find(upstreamName, repository.org);
    if (!upstream) throw new Problem('not_found', `There is no upstream ${upstreamName} in the configuration.`);
    if (upstream.format !== undefined && upstream.format !== format.id) {
      throw new Problem(
        'bad_request',
        `${upstreamName} speaks ${upstream.format}, and ${repository.id} is of format ${format.id}.`,
      );
    }
    const hosting = hostingOf(repository);
    await hosting?.ready();
    const record = hosting?.view().record(name, version);
    if (!record) throw new Problem('not_found', `${name} ${version} is not published in ${repository.id}.`);
    if (!format.release) {
      throw new Problem(
        'not_implemented',
        `Versions of format ${format.id} can't be published at an upstream: use its own client.`,
      );
    }
    const opened: { close(): void }[] = [];
    try {
      const files = new Map<string, ReadableFile>();
      for (const { path, digest } of record.files) {
        const blob = await blobs.open(digest);
        if (!blob)
          throw new Problem('storage_unavailable', `${path} is missing in ${repository.id}: run larder verify.`);
        opened.push(blob);
        files.set(path, { size: blob.size, read: (offset, length) => blob.read(offset, length) });
      }
      let message = '';
      let status = 200;
      for (const outgoing of format.release(record, files)) {
        const reply = await send(upstream, outgoing, record);
        status = Math.max(status, reply.status);
        message = reply.message;
        if (reply.status >= 300) break;
      }
      return { status, message };
    } finally {
      for (const blob of opened) blob.close();
    }
  };
}

async function send(
  upstream: ReleaseUpstream,
  { method, path, headers, body, isThere }: Outgoing,
  { name, version }: PackageRecord,
): Promise<{ readonly status: number; readonly message: string }> {
  const url = `${upstream.url.replace(/\/+$/, '')}/${path}`;
  const { status, text } = await upstream.send({ method, url, headers, body });
  if (status < 300) return { status, message: `${name} ${version} is published at ${upstream.url}.` };
  if (isThere?.(status, text)) return { status: 200, message: `${name} ${version} was there already.` };
  throw new Problem(
    'upstream_refused',
    `${upstream.url} did not take ${name} ${version}: ${status} ${text.replaceAll(/\s+/g, ' ').slice(0, 300)}`,
  );
}
