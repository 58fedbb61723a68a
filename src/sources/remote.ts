/** An upstream as a source: documents and artifacts through the cache, and what can only be passed on. */

import { claimsOf } from '../core/claims.ts';
import type { Document, Format } from '../core/format.ts';
import type { FreshnessPolicy, TakedownPolicy } from '../core/freshness.ts';
import { encodePath } from '../core/path.ts';
import { Problem } from '../core/problem.ts';
import type { Asking, FoundDocument, Source } from '../core/source.ts';
import type { Store } from '../store/store.ts';
import type { Upstream } from '../upstream/client.ts';
import type { Downloads } from '../upstream/download.ts';
import { aboutOf, notStored, viaOf } from './asking.ts';
import { createRemoteArtifacts } from './remote-artifact.ts';
import { createRemoteDocuments, type Learn } from './remote-document.ts';

export interface RemoteOptions {
  /** The upstream's name. */
  readonly id: string;
  /** `org/name` of the repository whose source it is. */
  readonly repository: string;
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

/** What is read before anything else from an upstream, decoded once for as long as it stays the same. */
function createDiscover(
  format: Format,
  upstream: string,
  find: (want: Document, asking: Asking) => Promise<FoundDocument | undefined>,
): (want: Document, asking: Asking) => Promise<unknown> {
  let last: { readonly key: string; readonly value: unknown } | undefined;
  return async (want, { fresh: _, lookingFor: __, ...asking }) => {
    const found = await find(want, asking);
    if (!found) {
      const message = `The upstream "${upstream}" has no ${want.path}, which says where everything else is: it is no ${format.id} server, or its address is not right.`;
      throw new Problem('upstream_invalid', message);
    }
    if (last?.key !== found.key) last = { key: found.key, value: want.type.decode(await found.bytes(), found.origin) };
    return last.value;
  };
}

/** Whatever else is asked of it, nothing goes out. */
function silent(upstream: Upstream): Upstream {
  return {
    ...upstream,
    ask: async ({ url }) => {
      throw notStored(url, upstream.name, true);
    },
  };
}

export function createRemote(given: RemoteOptions): Source {
  const options = given.offline ? { ...given, upstream: silent(given.upstream) } : given;
  const { upstream, format } = options;
  const base = upstream.url.replace(/\/+$/, '');
  const plain = (path: string): string => `${base}/${encodePath(path)}`;
  const discover = createDiscover(format, upstream.name, (want, asking) => documents.find(want, asking));

  async function locate(path: string, asking: Asking): Promise<string> {
    const { upstream: at } = format;
    if (!at?.locate) return plain(path);
    const discovered = at.discover && path !== at.discover.path ? await discover(at.discover, asking) : undefined;
    const { shortNames } = upstream;
    return at.locate(path, { base, discovered, ...(shortNames === undefined ? {} : { shortNames }) });
  }

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
      if (options.offline || asking.offline)
        throw notStored(want.path.split('?')[0] ?? '', options.id, options.offline);
      const reply = await upstream.ask({
        method: call.method,
        url: `${base}/${want.path}`,
        headers: { 'accept-encoding': 'identity', ...call.headers, ...viaOf(asking) },
        ...(call.body ? { body: call.body } : {}),
        requestId: asking.requestId,
        claims: claimsOf(asking),
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
