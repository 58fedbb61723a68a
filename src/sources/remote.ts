/** An upstream as a source: documents and artifacts through the cache, and what can only be passed on. */

import type { Document, Format } from '../core/format.ts';
import type { FreshnessPolicy, TakedownPolicy } from '../core/freshness.ts';
import { encodePath } from '../core/path.ts';
import { Problem } from '../core/problem.ts';
import type { Source } from '../core/source.ts';
import type { Store } from '../store/store.ts';
import type { Upstream } from '../upstream/client.ts';
import type { Downloads } from '../upstream/download.ts';
import { aboutOf, viaOf } from './asking.ts';
import { createRemoteArtifacts } from './remote-artifact.ts';
import { createRemoteDocuments, type Learn } from './remote-document.ts';

export interface RemoteOptions {
  /** The upstream's name. */
  readonly id: string;
  readonly claims: readonly string[];
  readonly format: Format;
  readonly upstream: Upstream;
  readonly store: Store;
  readonly downloads: { readonly artifacts: Downloads; readonly documents: Downloads };
  readonly learn: Learn;
  readonly freshness: FreshnessPolicy;
  readonly negativeTtlMs: number;
  readonly takedown: TakedownPolicy;
  /** How long a client waits for a revalidation before it gets the stale copy. */
  readonly patienceMs: number;
  readonly offline: boolean;
  readonly maxArtifactSizeBytes: number;
  readonly keepGoing: boolean;
  readonly now: () => number;
}

/** Upstream statuses that mean "no such endpoint" rather than an answer to what was passed on. */
const noEndpoint = new Set([404, 405, 410, 501]);

export function createRemote(options: RemoteOptions): Source {
  const { upstream, format } = options;
  const base = upstream.url.replace(/\/+$/, '');
  const plain = (path: string): string => `${base}/${encodePath(path)}`;
  const locate = (path: string): string =>
    format.upstream?.locate?.(path, {
      base,
      ...(upstream.shortNames === undefined ? {} : { shortNames: upstream.shortNames }),
    }) ?? plain(path);
  const shared = { ...options, locate };
  const documents = createRemoteDocuments({ ...shared, downloads: options.downloads.documents });
  const artifacts = createRemoteArtifacts({
    ...shared,
    downloads: options.downloads.artifacts,
    documents,
    maxSizeBytes: options.maxArtifactSizeBytes,
  });
  return {
    id: options.id,
    claims: options.claims,
    answersFor: (namespace) => upstream.namespaces.includes(namespace),
    artifact: artifacts.find,
    digest: artifacts.digest,
    holds: artifacts.holds,
    async document(want: Document, asking) {
      const found = await documents.find(want, asking);
      return found ? [found] : [];
    },
    async forward(want, call, asking) {
      if (options.offline) return undefined;
      const reply = await upstream.ask({
        method: call.method,
        url: `${base}/${want.path}`,
        headers: { 'accept-encoding': 'identity', ...call.headers, ...viaOf(asking) },
        ...(call.body ? { body: call.body } : {}),
        requestId: asking.requestId,
        ...aboutOf(want),
      });
      const contentType = reply.headers['content-type'] ?? '';
      const refused = reply.status < 400 && want.accepts && !want.accepts(contentType);
      if (noEndpoint.has(reply.status) || refused) {
        reply.discard();
        if (refused && !want.otherwise) {
          throw new Problem(
            'upstream_invalid',
            `${options.id} answered ${want.path} with ${contentType || 'no content type'}.`,
          );
        }
        return undefined;
      }
      return { status: reply.status, headers: reply.headers, body: reply.body, discard: () => reply.discard() };
    },
  };
}
