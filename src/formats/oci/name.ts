/** Names, tags, digests and the paths made of them: distribution specification 1.1, "Pulling manifests". */
import type { Digest, UpstreamFacts } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';

const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const nameGrammar = new RegExp(`^${part}(?:/${part})*$`);
const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const digestGrammar = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** Clients allow no more for host, slash and name together. */
const longestName = 255;

export function isName(text: string): boolean {
  return text.length <= longestName && nameGrammar.test(text);
}

export function isTag(text: string): boolean {
  return tagGrammar.test(text);
}

/** Of the two algorithms that the image specification registers and clients use; `undefined` for anything else, upper case included. */
export function readDigest(text: string): Digest | undefined {
  return digestGrammar.test(text) ? (text as Digest) : undefined;
}

export function manifestPath(name: string, reference: string): string {
  return `${name}/manifests/${reference}`;
}

export function blobPath(name: string, digest: string): string {
  return `${name}/blobs/${digest}`;
}

/** Of a request; never of something that is stored. */
export function uploadPath(name: string, session: string): string {
  return `${name}/blobs/uploads/${session}`;
}

/** Every path of an intent ends in two segments of the protocol; what stands before them is the name, whatever its parts are called. */
export function splitPath(path: string): { readonly name: string; readonly tail: string } {
  const middle = path.lastIndexOf('/', path.lastIndexOf('/') - 1);
  return { name: path.slice(0, middle), tail: path.slice(middle + 1) };
}

/** The tag that holds a manifest's referrers where the registry has no list of them ("Referrers tag schema"). */
export function referrersTag(digest: string): string {
  const [algorithm = '', encoded = ''] = digest.split(':');
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}`;
}

/** An upstream's URL with a path of its own means what stands below `/v2/`; a URL that has `v2` in its path already says where that is. */
export function locate(path: string, { base, shortNames }: UpstreamFacts): string {
  const { origin, pathname } = new URL(base);
  const inside = pathname.replace(/\/+$/, '');
  const root = inside.split('/').includes('v2') ? `${origin}${inside}` : `${origin}/v2${inside}`;
  const isShort = shortNames !== undefined && !splitPath(path).name.includes('/');
  return `${root}/${isShort ? `${shortNames}/` : ''}${encodePath(path)}`;
}

/**
 * The name as it stands in the client's own address of the image: with what comes before it below `/v2/`, or with what
 * comes before `/v2` in an address that a client appended it to.
 */
export function clientName(base: string, name: string): string {
  const segments = new URL(base).pathname.split('/').filter((segment) => segment !== '');
  const at = segments.indexOf('v2');
  const before = at === segments.length - 1 ? segments.slice(0, at) : segments.slice(at + 1);
  return [...before, name].join('/');
}

/**
 * Where clients go next: without a host, so that it is right behind every reverse proxy (podman and containerd resolve it
 * against their own address; specification 1.1, "Pushing blobs", allows both).
 */
export function locationOf(base: string, path: string): string {
  return `${new URL(base).pathname.replace(/\/+$/, '')}/${encodePath(path)}`;
}
