/** What pip, uv, Poetry and their kin ask for that find a distribution in a lockfile: the project's page, and files that it lists. */
import type { Wanted, WarmStep } from '../../core/warm.ts';
import { jsonType } from './accept.ts';
import { digestsOf, metadataEnding } from './file.ts';
import { isObject, parseJson } from './json.ts';
import { canonicalVersion, isName, isWheel, normalized, versionOf } from './name.ts';

const pageBytes = 64 * 1024 * 1024;
const accept = `${jsonType}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01`;

interface Listed {
  readonly filename: string;
  /** Raw, below the repository. */
  readonly path: string;
  readonly hashes: Readonly<Record<string, string>>;
  readonly hasMetadata: boolean;
}

/** Addresses on the page are relative to it. */
function listedIn(bytes: Uint8Array, project: string): Listed[] {
  const { files } = parseJson(Buffer.from(bytes).toString('utf8'));
  const page = new URL(`http://page/simple/${project}/`);
  return (Array.isArray(files) ? (files as readonly unknown[]) : []).flatMap((file): Listed[] => {
    if (!isObject(file) || typeof file.filename !== 'string' || typeof file.url !== 'string') return [];
    const url = URL.parse(file.url, page.href);
    if (url?.host !== page.host) return [];
    const metadata = file['core-metadata'];
    return [
      {
        filename: file.filename,
        path: url.pathname.slice(1),
        hashes: isObject(file.hashes) ? (file.hashes as Record<string, string>) : {},
        hasMetadata: metadata !== undefined && metadata !== false,
      },
    ];
  });
}

const architectures: Readonly<Record<string, RegExp>> = {
  amd64: /(?:x86_64|amd64|universal2|intel|fat64)$/,
  arm64: /(?:aarch64|arm64|universal2)$/,
  '386': /(?:i[3-6]86|win32|intel)$/,
  arm: /armv[67]l$/,
};
const systems: Readonly<Record<string, RegExp>> = {
  linux: /^(?:many|musl)?linux/,
  darwin: /^macosx/,
  windows: /^win/,
};

/** By the last part of a wheel's name, in which several may stand (PEP 425); what is built from its source runs anywhere. */
function runsOn(filename: string, platform: string | undefined): boolean {
  if (platform === undefined || !isWheel(filename)) return true;
  const [system = '', architecture = ''] = platform.split('/');
  const tags =
    filename
      .replace(/\.whl$/i, '')
      .split('-')
      .at(-1)
      ?.toLowerCase()
      .split('.') ?? [];
  return tags.some((tag) => {
    if (tag === 'any') return true;
    return systems[system]?.test(tag) === true && (architectures[architecture]?.test(tag) ?? true);
  });
}

function isOfVersion(project: string, filename: string, version: string | undefined): boolean {
  if (version === undefined) return true;
  const told = versionOf(project, filename);
  return told !== undefined && canonicalVersion(told) === canonicalVersion(version);
}

function chosenIn(listed: readonly Listed[], project: string, { file, version, digests, platform }: Wanted): Listed[] {
  if (file !== undefined) {
    const found = listed.filter(({ filename }) => filename === file);
    if (found.length === 0) throw new Error(`the page of ${project} has no ${file}`);
    return found;
  }
  const ofVersion = listed.filter(({ filename }) => isOfVersion(project, filename, version));
  const known = new Set<string>(digests);
  const locked =
    digests.length === 0 ? ofVersion : listed.filter(({ hashes }) => digestsOf(hashes).some((one) => known.has(one)));
  if (locked.length === 0) {
    const what = version === undefined ? project : `${project} ${version}`;
    throw new Error(
      ofVersion.length === 0
        ? `the page has no file of ${what}`
        : `no file of ${what} has one of the ${digests.length} digests that the lockfile names`,
    );
  }
  const running = locked.filter(({ filename }) => runsOn(filename, platform));
  if (running.length === 0) throw new Error(`no file of ${project} is for ${platform}`);
  return running;
}

/** Of files without a version those of the newest: the page has them in any order, so that of the last one that has a version. */
function newestIn(listed: readonly Listed[], project: string): string | undefined {
  return listed.findLast(({ filename }) => {
    const version = versionOf(project, filename);
    return version !== undefined && !/[a-z]/i.test(version);
  })?.filename;
}

function* filesIn(bytes: Uint8Array, project: string, wanted: Wanted): Iterable<WarmStep> {
  const listed = listedIn(bytes, project);
  const isAny = wanted.version === undefined && wanted.file === undefined && wanted.digests.length === 0;
  const newest = isAny ? newestIn(listed, project) : undefined;
  const version = newest === undefined ? wanted.version : versionOf(project, newest);
  for (const { path, hasMetadata } of chosenIn(listed, project, {
    ...wanted,
    ...(version === undefined ? {} : { version }),
  })) {
    if (hasMetadata) yield { path: path + metadataEnding, optional: true };
    yield { path, digests: wanted.digests };
  }
}

/** Throws an Error on what can be no project. */
export function* warm(wanted: Wanted): Iterable<WarmStep> {
  if (!isName(wanted.name)) throw new Error(`${wanted.name} is no name of a project`);
  const project = normalized(wanted.name);
  yield {
    path: `simple/${project}/`,
    headers: { accept },
    read: { limit: pageBytes, next: (bytes) => filesIn(bytes, project, wanted) },
  };
}
