/** References of images as Docker's clients read them (distribution/reference): `docker.io` and `library/` are what is left out. */
import { type Digest, parseDigest } from '../core/digest.ts';
import type { Finding, Findings } from './findings.ts';

export interface ImageReference {
  readonly registry: string;
  readonly name: string;
  /** `latest` when there is neither tag nor digest. */
  readonly tag?: string;
  readonly digest?: Digest;
}

const part = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tag = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const host = /^(?:\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/i;
const dockerHub = ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'];

/** `undefined` for what is no reference. */
export function readReference(text: string): ImageReference | undefined {
  if (text.length > 512) return undefined;
  const [, beforeDigest = '', after] = /^([^@]+)(?:@([^@]+))?$/.exec(text) ?? [];
  const digest = after === undefined ? undefined : parseDigest(after);
  if (after !== undefined && (digest === undefined || !/^sha(?:256|512):/.test(digest))) return undefined;
  const colon = beforeDigest.lastIndexOf(':');
  const isTagged = colon > beforeDigest.lastIndexOf('/');
  const path = isTagged ? beforeDigest.slice(0, colon) : beforeDigest;
  const said = isTagged ? beforeDigest.slice(colon + 1) : undefined;
  if (said !== undefined && !tag.test(said)) return undefined;
  const [first = '', ...rest] = path.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  if (isHost && !host.test(first)) return undefined;
  const registry = !isHost || dockerHub.includes(first.toLowerCase()) ? 'docker.io' : first.toLowerCase();
  const parts = isHost ? rest : [first, ...rest];
  if (!parts.every((one) => part.test(one))) return undefined;
  const name = registry === 'docker.io' && parts.length === 1 ? `library/${parts[0]}` : parts.join('/');
  if (said === undefined && digest === undefined) return { registry, name, tag: 'latest' };
  return { registry, name, ...(said === undefined ? {} : { tag: said }), ...(digest === undefined ? {} : { digest }) };
}

/** `linux/arm64/v8`; anything else is `undefined`, variables of a build included. */
function readPlatform(text: string | undefined): string | undefined {
  return text !== undefined && /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/i.test(text) ? text.toLowerCase() : undefined;
}

/** The image that a reference names; schemes in front of it may stand, as tools write them. */
export function imageFinding(reference: string, platform: string | undefined, at: string): Finding | undefined {
  const read = readReference(reference.replace(/^(?:docker|oci|docker-image):\/\//, ''));
  if (read === undefined) return undefined;
  const digests = read.digest === undefined ? [] : [read.digest];
  const { name, registry } = read;
  return { format: 'oci', name, version: read.tag, registry, digests, platform: readPlatform(platform), at };
}

/** Skips what is no reference. */
export function wantImage(findings: Findings, reference: string, platform: string | undefined, at: string): void {
  const finding = imageFinding(reference, platform, at);
  if (finding) findings.want(finding);
  else findings.skip(reference, 'that is no reference of an image', at);
}

export const tagsMove =
  'Tags move: images that are named by a tag alone are what the tag stands for when they are fetched.';
