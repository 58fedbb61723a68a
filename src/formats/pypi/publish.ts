/** Uploads, as PyPI's legacy interface takes them: one file each, several for a version. */

import { hexOf } from '../../core/digest.ts';
import type { Call, Change, ChangeSet, Decide, Desk, Intent, Put, StagedFile, View } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { provenanceOf } from './attestations.ts';
import { type CoreMetadata, type Fields, type Kind, kindOf, metadataIn } from './core-metadata.ts';
import { metadataEnding, pathOf, provenancePathOf, signatureEnding } from './file.ts';
import { type FileFacts, factsOf, type ReleaseFacts, recordOf } from './hosted.ts';
import { canonicalVersion, isName, normalized, versionOf } from './name.ts';
import { readForm, type UploadForm } from './upload-form.ts';
import { isVersion } from './version-order.ts';

const octets = 'application/octet-stream';

/**
 * A file name is used once, as on PyPI, while addresses of files change with their bytes. This path does not: what lies there is
 * the digest, so that the rules about paths (other bytes are a conflict, also after a deletion) hold for the name.
 */
function namePath(project: string, filename: string): string {
  return `names/${project}/${filename}`;
}

function refuse(why: string): never {
  throw new Problem('invalid_package', why);
}

/** One distribution that was read and agrees with itself. */
interface Distribution {
  readonly project: string;
  readonly filename: string;
  readonly kind: Kind;
  readonly sha256: string;
  readonly metadata: CoreMetadata;
  readonly form: UploadForm;
}

/** Digests that the form claims. BLAKE2b of 256 bits is not computed here: the others say the same. */
function checkDigests({ field, filename, file, md5 }: UploadForm, sha256: string): void {
  const claims = [
    ['sha256_digest', sha256],
    ['md5_digest', md5],
  ] as const;
  for (const [name, actual] of claims) {
    const claimed = field(name)?.toLowerCase();
    if (claimed === undefined || claimed === actual) continue;
    throw new Problem(
      'digest_mismatch',
      `What arrived of ${filename} has another digest than the form claims (${name} is ${actual}, ${file.size} bytes): upload it again.`,
    );
  }
}

/** File name, form and metadata are about the same thing. */
function checkNames(form: UploadForm, kind: Kind, metadata: CoreMetadata): string {
  const { filename, field } = form;
  const project = normalized(metadata.name);
  if (!isName(metadata.name)) refuse(`The metadata in ${filename} has a name that is none.`);
  if (!isVersion(metadata.version)) refuse(`The metadata in ${filename} has a version that is none (PEP 440).`);
  const same = (version: string | undefined): boolean =>
    version !== undefined && canonicalVersion(version) === canonicalVersion(metadata.version);
  const [first = ''] = filename.split('-');
  if ((kind === 'bdist_wheel' && normalized(first) !== project) || !same(versionOf(project, filename))) {
    refuse(`${filename} is not the file name of ${metadata.name} ${metadata.version}, which the metadata in it names.`);
  }
  const [name, version] = [field('name'), field('version')];
  if (name === undefined || version === undefined) {
    throw new Problem('bad_request', 'The form has no name and version.');
  }
  if (normalized(name) !== project || !same(version)) {
    refuse(`The form is about another package than ${metadata.name} ${metadata.version}, which ${filename} is.`);
  }
  const told = field('filetype');
  if (told !== undefined && told !== kind) refuse(`${filename} is no ${told.slice(0, 40)}.`);
  return project;
}

async function read(form: UploadForm): Promise<Distribution> {
  const { filename, file } = form;
  const action = form.field(':action') ?? 'file_upload';
  if (action !== 'file_upload') {
    throw new Problem(
      'bad_request',
      `Projects come into being by uploading a file; there is no ${action.slice(0, 40)}.`,
    );
  }
  const kind = kindOf(filename);
  if (!kind || !/^[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}$/.test(filename)) {
    refuse(`${filename} can't be published: files are wheels (.whl) and source distributions (.tar.gz, .zip).`);
  }
  const sha256 = hexOf(file.digests[0] ?? refuse(`${filename} has no digest.`));
  checkDigests(form, sha256);
  const metadata = await metadataIn(filename, file);
  return { project: checkNames(form, kind, metadata), filename, kind, sha256, metadata, form };
}

/** What people call the place where the sources are, most exact first (well-known labels of project URLs). */
const sourceLabels = ['source', 'repository', 'sourcecode', 'github', 'gitlab', 'code', 'vcs', 'homepage'];

/** URL of the source project that the package names. */
export function sourceIn(fields: Fields): string | undefined {
  const urls = new Map<string, string>();
  const home = fields.home_page;
  if (typeof home === 'string') urls.set('homepage', home);
  const told = fields.project_url ?? [];
  for (const text of typeof told === 'string' ? [told] : told) {
    const comma = text.indexOf(',');
    urls.set(
      text
        .slice(0, comma)
        .toLowerCase()
        .replace(/[^a-z]/g, ''),
      text.slice(comma + 1).trim(),
    );
  }
  for (const label of sourceLabels) {
    const url = URL.parse(urls.get(label) ?? '');
    if (url && /^(?:git\+)?(?:https?|ssh|git):$/.test(url.protocol)) return url.href;
  }
  return undefined;
}

/** What lies beside the file, staged. */
interface Beside {
  readonly name: StagedFile;
  readonly metadata?: StagedFile;
  readonly signature?: StagedFile;
  readonly provenance?: StagedFile;
}

async function stageBeside({ filename, kind, sha256, metadata, form }: Distribution, desk: Desk): Promise<Beside> {
  const attestations = form.field('attestations');
  if (form.signature && !Buffer.from(form.signature).toString('latin1').startsWith('-----BEGIN PGP SIGNATURE-----')) {
    refuse('The signature is no PGP signature in text form.');
  }
  return {
    name: await desk.add(Buffer.from(`sha256:${sha256}\n`)),
    ...(kind === 'bdist_wheel' ? { metadata: await desk.add(metadata.bytes) } : {}),
    ...(form.signature ? { signature: await desk.add(form.signature) } : {}),
    ...(attestations === undefined
      ? {}
      : { provenance: await desk.add(provenanceOf(attestations, filename, sha256, desk.by)) }),
  };
}

function putsOf({ project, filename, sha256, form }: Distribution, beside: Beside): Put[] {
  const path = pathOf(project, sha256, filename);
  const { name, metadata, signature, provenance } = beside;
  return [
    { path: namePath(project, filename), file: name, contentType: 'text/plain; charset=utf-8' },
    { path, file: form.file, contentType: octets },
    ...(metadata ? [{ path: path + metadataEnding, file: metadata, contentType: octets }] : []),
    ...(signature ? [{ path: path + signatureEnding, file: signature, contentType: octets }] : []),
    ...(provenance ? [provenancePut(project, sha256, filename, provenance)] : []),
  ];
}

function provenancePut(project: string, sha256: string, filename: string, file: StagedFile): Put {
  return {
    path: provenancePathOf(project, sha256, filename),
    file,
    contentType: 'application/vnd.pypi.integrity.v1+json',
    mutable: true,
  };
}

function fileFacts({ filename, kind, metadata, form }: Distribution): FileFacts {
  const [tag] = filename.split('-').slice(-3);
  const comment = form.field('comment');
  return {
    md5: form.md5,
    pythonVersion: form.field('pyversion') ?? (kind === 'bdist_wheel' ? (tag ?? 'any') : 'source'),
    ...(comment === undefined ? {} : { comment: comment.slice(0, 1000) }),
    ...(metadata.requiresPython === undefined ? {} : { requiresPython: metadata.requiresPython }),
  };
}

function replyWith(text: string): ChangeSet['reply'] {
  return { headers: { 'content-type': 'text/plain; charset=utf-8' }, bytes: Buffer.from(`${text}\n`) };
}

/** Everything that lies at paths with the digest of other bytes under this file name. */
function outdatedPaths({ project, filename, sha256 }: Distribution, hosted: View): string[] {
  const isOld = (path: string): boolean => {
    const [, , key, name = ''] = path.split('/');
    const isItsOwn = [filename, filename + metadataEnding, filename + signatureEnding].includes(name);
    return key !== sha256 && isItsOwn && !path.startsWith('names/');
  };
  return [...hosted.entries(project)].map(({ path }) => path).filter(isOld);
}

/** The same bytes again: nothing comes of it but attestations that were not there. */
function again(dist: Distribution, { provenance }: Beside, hosted: View): ChangeSet {
  const { project, filename, sha256, metadata } = dist;
  const record = recordOf(hosted, project, metadata.version);
  const reply = replyWith(`${filename} is published already, with the same bytes.`);
  const put = provenance && provenancePut(project, sha256, filename, provenance);
  if (!put || !record || hosted.entry(put.path)) return { name: project, reply };
  const { version, facts } = record;
  return { name: project, put: [put], records: [{ version, facts, files: [put.path] }], reply };
}

function decide(dist: Distribution, beside: Beside, hosted: View): ChangeSet {
  const { project, filename, sha256, metadata, kind } = dist;
  const before = hosted.entry(namePath(project, filename));
  const isSame = before !== undefined && before.digest === beside.name.digests[0];
  if (isSame && hosted.entry(pathOf(project, sha256, filename))) return again(dist, beside, hosted);
  if (before && !isSame && !hosted.overwrites) {
    throw new Problem(
      'conflict',
      `File already exists: ${filename} was published before, with other bytes. A file name is used once; give the build a new version.`,
    );
  }
  const record = recordOf(hosted, project, metadata.version);
  const known = record && factsOf(record);
  const put = putsOf(dist, beside);
  const drop = before && !isSame ? outdatedPaths(dist, hosted) : [];
  // A source distribution may leave to the build what a wheel knows.
  const isBetter = !known || kind === 'bdist_wheel';
  const facts: ReleaseFacts = {
    ...known,
    name: metadata.name,
    metadata: isBetter ? metadata.fields : known.metadata,
    files: { ...known?.files, [filename]: fileFacts(dist) },
  };
  const source = sourceIn(facts.metadata);
  return {
    name: project,
    put,
    ...(drop.length > 0 ? { drop } : {}),
    records: [
      {
        version: record?.version ?? metadata.version,
        facts: { ...facts },
        files: put.map(({ path }) => path),
        ...(source === undefined ? {} : { source }),
      },
    ],
    reply: replyWith(`${filename} is published.`),
  };
}

async function receive(call: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Decide> {
  const dist = await read(await readForm(call.headers['content-type'] ?? '', body, desk));
  const beside = await stageBeside(dist, desk);
  return (hosted) => decide(dist, beside, hosted);
}

const change: Change = { kind: 'change', action: 'publish', receive };

/** Whatever is posted to an address for uploads alone. */
export function upload(): Intent {
  return change;
}

/** At addresses that have another use, too: only a form is an upload. */
export function uploadForm(call: Call): Intent | undefined {
  return /^multipart\/form-data\b/i.test(call.headers['content-type'] ?? '') ? change : undefined;
}
