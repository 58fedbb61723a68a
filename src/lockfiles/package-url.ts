/** Package URLs (`pkg:npm/%40acme/web@1.0.0`), in the types that repositories are here for. */
import { PackageURL } from 'packageurl-js';
import type { Digest } from '../core/digest.ts';
import { digestIn, strongest } from './digests.ts';
import { type Findings, lastSegment, printable, webAddress } from './findings.ts';
import { readReference } from './image-reference.ts';

/** What a document says about a package besides its package URL. */
export interface Besides {
  readonly digests?: readonly Digest[];
  readonly url?: string | undefined;
  readonly file?: string | undefined;
  readonly optional?: boolean;
  readonly at: string;
}

/** `maven` types whose files end otherwise than they are called. */
const extensions: Readonly<Record<string, string>> = {
  'maven-plugin': 'jar',
  bundle: 'jar',
  'test-jar': 'jar',
  'eclipse-plugin': 'jar',
  ejb: 'jar',
};

function mavenFile(purl: PackageURL, qualifiers: Readonly<Record<string, string>>, isJar: boolean): string | undefined {
  const { type, classifier } = qualifiers;
  if (!purl.version || (type === undefined && classifier === undefined && !isJar)) return undefined;
  const extension = (type !== undefined && Object.hasOwn(extensions, type) ? extensions[type] : type) ?? 'jar';
  return `${purl.name}-${purl.version}${classifier ? `-${classifier}` : ''}.${extension}`;
}

/** `repository_url` of an image may hold its whole name, and `docker` types have the namespace apart. */
function wantImageOf(
  findings: Findings,
  purl: PackageURL,
  qualifiers: Readonly<Record<string, string>>,
  besides: Besides,
): void {
  const base = qualifiers.repository_url?.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  const own = [purl.namespace, purl.name].filter(Boolean).join('/');
  const isWhole = base !== undefined && (base === own || base.endsWith(`/${own}`));
  const path = base === undefined ? own : isWhole ? base : `${base}/${own}`;
  const version = purl.version ?? undefined;
  const isDigest = version?.includes(':') ?? false;
  const tag = isDigest ? qualifiers.tag : (version ?? qualifiers.tag);
  const reference = readReference(`${path}${tag ? `:${tag}` : ''}${isDigest ? `@${version}` : ''}`);
  if (reference === undefined) {
    findings.skip(printable(`pkg:${purl.type}/${own}`), 'that is no reference of an image', besides.at);
    return;
  }
  const { registry, name, digest } = reference;
  const platform =
    qualifiers.platform ?? (qualifiers.arch ? `${qualifiers.os ?? 'linux'}/${qualifiers.arch}` : undefined);
  findings.want({
    format: 'oci',
    name,
    version: reference.tag,
    registry,
    digests: digest ? [digest] : [],
    platform,
    at: besides.at,
  });
}

/** Wants what it names, or skips it with the reason. Throws on what is no package URL. */
export function wantPackageUrl(findings: Findings, text: string, besides: Besides): void {
  let purl: PackageURL;
  try {
    if (text.length > 4096) throw new Error('longer than 4096 characters');
    purl = PackageURL.fromString(text);
  } catch {
    findings.skip(text, 'that is no package URL', besides.at);
    return;
  }
  const { type, name, version: said } = purl;
  const version = said || undefined;
  const namespace = purl.namespace || undefined;
  const qualifiers: Readonly<Record<string, string>> = { ...purl.qualifiers };
  const own = (qualifiers.checksum ?? '')
    .split(',')
    .map((sum) => digestIn(...(sum.trim().split(':', 2) as [string, string])));
  const digests = strongest([...(besides.digests ?? []), ...own]);
  const url = besides.url ?? qualifiers.download_url;
  const registry = webAddress(qualifiers.repository_url);
  const { at, optional = false } = besides;
  const rest = { version, url, registry, digests, optional, at };
  switch (type) {
    case 'npm':
      findings.want({ ...rest, format: 'npm', name: namespace === undefined ? name : `${namespace}/${name}` });
      return;
    case 'pypi': {
      const address = webAddress(url);
      const file =
        besides.file ??
        qualifiers.file_name ??
        (address && /\.(?:whl|zip|tar\.gz)$/.test(address) ? lastSegment(address) : undefined);
      findings.want({ ...rest, format: 'pypi', name, file });
      return;
    }
    case 'gem': {
      const platform = qualifiers.platform === 'ruby' ? undefined : qualifiers.platform;
      const file = version === undefined ? undefined : `${name}-${version}${platform ? `-${platform}` : ''}.gem`;
      findings.want({ ...rest, format: 'rubygems', name, platform, file });
      return;
    }
    case 'nuget':
      // Tools write the hash of the package before it was signed here, which is no digest of the file.
      findings.want({ ...rest, format: 'nuget', name, digests: strongest(own) });
      return;
    case 'maven': {
      if (namespace === undefined) break;
      const file = besides.file ?? mavenFile(purl, qualifiers, digests.length > 0);
      findings.want({ ...rest, format: 'maven', name: `${namespace}:${name}`, file });
      return;
    }
    case 'docker':
    case 'oci':
      wantImageOf(findings, purl, qualifiers, besides);
      return;
    case 'generic': {
      const address = webAddress(url);
      if (address === undefined || new URL(address).pathname === '/') break;
      findings.want({
        format: 'generic',
        name: new URL(address).pathname.slice(1),
        url: address,
        digests,
        optional,
        at,
      });
      return;
    }
  }
  const why = ['maven', 'generic'].includes(type)
    ? 'it does not say where it lies'
    : `there is no kind of repository here for "${type}"`;
  findings.skip(text, why, at);
}
