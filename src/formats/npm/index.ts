/** npm's registry protocol, as npm, pnpm, yarn and bun read it. */
import { parseVersion } from '../../codecs/semver.ts';
import type { Artifact, Body, Call, Document, Format, Intent, Route, UpstreamFacts } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';
import type { ProblemFacts } from '../../core/problem.ts';
import { bulkAudit, fullAudit, quickAudit } from './audit.ts';
import { attestations, keys } from './evidence.ts';
import { jsonBody } from './json.ts';
import {
  createToken,
  listTokens,
  noticeOf,
  passwordLogin,
  profile,
  revoke,
  user,
  webDone,
  webLogin,
  whoami,
} from './login.ts';
import {
  deleteOwner,
  deletePackage,
  deleteTag,
  deleteTarball,
  postAccess,
  putOwner,
  putPackage,
  putRevision,
  putTag,
} from './manage.ts';
import { escapeName, isName, nameBefore, tarballPath, versionOf } from './name.ts';
import { exchange } from './oidc.ts';
import { abbreviatedType, packument } from './packument.ts';
import { release } from './release.ts';
import { search, searchType } from './search.ts';
import { warm } from './warm.ts';

const attestationsPath = '-/npm/v1/attestations/';

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

/** How much a client wants a media type that it names; `undefined` when it does not name it. */
function quality(accept: string, type: string): number | undefined {
  for (const range of accept.split(',')) {
    const [name = '', ...parameters] = range.split(';').map((text) => text.trim().toLowerCase());
    if (name !== type) continue;
    const told = parameters.find((parameter) => parameter.startsWith('q='));
    const q = told === undefined ? 1 : Number(told.slice(2));
    return Number.isNaN(q) ? 0 : q;
  }
  return undefined;
}

/** The abbreviated form is for those who ask for it by name: everybody else expects everything there is. */
function wantsAbbreviated(accept: string | undefined): boolean {
  if (!accept?.includes('install-v1')) return false;
  const q = quality(accept, abbreviatedType) ?? 0;
  return q > 0 && q >= (quality(accept, 'application/json') ?? 0);
}

function packumentOf(name: string, variant: string): Document {
  return { kind: 'document', type: packument, path: name, name, variant };
}

function readPackument(call: Call): Intent | undefined {
  const name = param(call, 'name');
  if (!isName(name)) return undefined;
  // Asked before every change of a package: it has to be the state that the change is made to.
  if (call.query.get('write') === 'true') return { ...packumentOf(name, 'full'), fresh: true };
  return packumentOf(name, wantsAbbreviated(call.headers.accept) ? 'abbreviated' : 'full');
}

function readVersion(call: Call): Intent | undefined {
  const name = param(call, 'name');
  const wanted = param(call, 'version');
  if (!isName(name) || wanted.includes('/')) return undefined;
  const document = packumentOf(name, `version:${wanted}`);
  return parseVersion(wanted) ? { ...document, version: wanted } : document;
}

function readTags(call: Call): Intent | undefined {
  const name = param(call, 'name');
  return isName(name) ? packumentOf(name, 'tags') : undefined;
}

function artifact(name: string, path: string, version: string | undefined): Artifact {
  return {
    kind: 'artifact',
    path,
    name,
    ...(version === undefined ? {} : { version }),
    // Every form holds what the bytes are checked against; this one is the smallest.
    describedBy: packumentOf(name, 'abbreviated'),
    contentType: 'application/octet-stream',
  };
}

/** All forms come to the one path that our documents name. Some registries repeat the scope in front of the file name. */
function readTarball(call: Call): Intent | undefined {
  const path = param(call, 'name');
  const scope = path.includes('@') ? path.split('/').findLast((segment) => segment.startsWith('@')) : undefined;
  let file = param(call, 'file');
  if (call.params.scope !== undefined) file = `${call.params.scope}/${file}`;
  if (scope !== undefined && file.startsWith(`${scope}/`)) file = file.slice(scope.length + 1);
  if (file.includes('/')) return undefined;
  const name = nameBefore(path, file);
  return name === undefined ? undefined : artifact(name, `${name}/-/${file}.tgz`, versionOf(name, file));
}

/** GitHub's address of a tarball ends in a digest that is not the one the packument tells. */
function readDownload(call: Call): Intent | undefined {
  const name = param(call, 'name');
  const version = param(call, 'version');
  if (!isName(name) || !parseVersion(version) || !/^[0-9a-f]{32,128}$/i.test(param(call, 'hash'))) return undefined;
  return artifact(name, tarballPath(name, version), version);
}

function readAttestations(call: Call): Intent | undefined {
  const spec = param(call, 'spec');
  const at = spec.lastIndexOf('@');
  const name = spec.slice(0, Math.max(at, 0));
  const version = spec.slice(at + 1);
  if (!isName(name) || !parseVersion(version)) return undefined;
  return { kind: 'document', type: attestations, path: `${attestationsPath}${name}@${version}`, name, version };
}

/** `npm access`: who is known to work on it, and whether it is for everybody. */
function readPart(variant: 'access' | 'visibility' | 'collaborators') {
  return (call: Call): Intent | undefined => {
    const name = param(call, 'name');
    return isName(name) ? packumentOf(name, variant) : undefined;
  };
}

/** Of routes that match the same path the earlier is asked first; names begin with no `-`, so the registry's own endpoints are never packages. */
const routes: readonly Route[] = [
  { id: 'root', method: 'GET', path: '/', intent: () => ({ kind: 'answer', body: jsonBody({}) }) },
  { id: 'ping', method: 'GET', path: '/-/ping', intent: () => ({ kind: 'answer', body: jsonBody({}) }) },
  { id: 'whoami', method: 'GET', path: '/-/whoami', intent: () => ({ kind: 'answer', body: whoami }) },
  { id: 'profile', method: 'GET', path: '/-/npm/v1/user', intent: () => ({ kind: 'answer', body: profile }) },
  { id: 'login', method: 'POST', path: '/-/v1/login', intent: () => webLogin },
  { id: 'login-done', method: 'GET', path: '/-/v1/done', intent: () => webDone },
  { id: 'login-password', method: 'PUT', path: '/-/user/org.couchdb.user:{user}', intent: () => passwordLogin },
  {
    id: 'login-password-again',
    method: 'PUT',
    path: '/-/user/org.couchdb.user:{user}/-rev/{rev}',
    intent: () => passwordLogin,
  },
  { id: 'user', method: 'GET', path: '/-/user/org.couchdb.user:{user}', intent: user },
  { id: 'logout', method: 'DELETE', path: '/-/user/token/{token}', intent: () => revoke },
  { id: 'tokens', method: 'GET', path: '/-/npm/v1/tokens', intent: () => listTokens },
  { id: 'token-create', method: 'POST', path: '/-/npm/v1/tokens', intent: () => createToken },
  { id: 'token-revoke', method: 'DELETE', path: '/-/npm/v1/tokens/token/{token}', intent: () => revoke },
  {
    id: 'oidc-exchange',
    method: 'POST',
    path: '/-/npm/v1/oidc/token/exchange/package/{name+}',
    intent: exchange,
  },
  { id: 'search', method: 'GET', path: '/-/v1/search', intent: search },
  {
    id: 'keys',
    method: 'GET',
    path: '/-/npm/v1/keys',
    intent: () => ({ kind: 'document', type: keys, path: '-/npm/v1/keys' }),
  },
  { id: 'attestations', method: 'GET', path: '/-/npm/v1/attestations/{spec+}', intent: readAttestations },
  { id: 'audit-bulk', method: 'POST', path: '/-/npm/v1/security/advisories/bulk', intent: () => bulkAudit },
  {
    id: 'audit-quick',
    method: 'POST',
    path: '/-/npm/v1/security/audits/quick',
    intent: () => quickAudit,
  },
  {
    id: 'audit',
    method: 'POST',
    path: '/-/npm/v1/security/audits',
    intent: () => fullAudit,
  },
  { id: 'dist-tags', method: 'GET', path: '/-/package/{name+}/dist-tags', intent: readTags },
  { id: 'dist-tag-add', method: 'PUT', path: '/-/package/{name+}/dist-tags/{tag}', intent: putTag },
  { id: 'dist-tag-remove', method: 'DELETE', path: '/-/package/{name+}/dist-tags/{tag}', intent: deleteTag },
  { id: 'visibility', method: 'GET', path: '/-/package/{name+}/visibility', intent: readPart('visibility') },
  { id: 'collaborators', method: 'GET', path: '/-/package/{name+}/collaborators', intent: readPart('collaborators') },
  { id: 'owner-add', method: 'PUT', path: '/-/package/{name+}/owners', intent: putOwner },
  { id: 'owner-remove', method: 'DELETE', path: '/-/package/{name+}/owners/{user}', intent: deleteOwner },
  { id: 'access-read', method: 'GET', path: '/-/package/{name+}/access', intent: readPart('access') },
  { id: 'access', method: 'POST', path: '/-/package/{name+}/access', intent: postAccess },
  { id: 'tarball-delete', method: 'DELETE', path: '/{name+}/-/{file}.tgz/-rev/{rev}', intent: deleteTarball },
  { id: 'unpublish', method: 'DELETE', path: '/{name+}/-rev/{rev}', intent: deletePackage },
  { id: 'update', method: 'PUT', path: '/{name+}/-rev/{rev}', intent: putRevision },
  { id: 'publish', method: 'PUT', path: '/{name+}', intent: putPackage },
  { id: 'tarball', method: 'GET', path: '/{name+}/-/{file}.tgz', intent: readTarball },
  { id: 'tarball-scoped', method: 'GET', path: '/{name+}/-/{scope}/{file}.tgz', intent: readTarball },
  { id: 'tarball-cnpm', method: 'GET', path: '/{name+}/download/{file}.tgz', intent: readTarball },
  { id: 'tarball-cnpm-scoped', method: 'GET', path: '/{name+}/download/{scope}/{file}.tgz', intent: readTarball },
  { id: 'tarball-github', method: 'GET', path: '/download/{name+}/{version}/{hash}', intent: readDownload },
  { id: 'packument', method: 'GET', path: '/{name+}', intent: readPackument },
  { id: 'version', method: 'GET', path: '/{name+}/{version}', intent: readVersion },
];

/** Upstream wants the slash of a scope escaped, except in the path of a tarball. */
function locate(path: string, { base }: UpstreamFacts): string {
  if (path.startsWith(attestationsPath))
    return `${base}/${attestationsPath}${escapeName(path.slice(attestationsPath.length))}`;
  return path.startsWith('-/') || path.includes('/-/') ? `${base}/${encodePath(path)}` : `${base}/${escapeName(path)}`;
}

/** npm has a sentence of its own for some errors and does not show ours; the notice it prints with every one. */
function problem({ status, code, message }: ProblemFacts): Body {
  const notice = status === 401 ? { 'npm-notice': noticeOf(message) } : {};
  return { ...jsonBody({ error: message, code }, notice), status };
}

export const format: Format = {
  id: 'npm',
  // Packages from before 2017 have no other digest than sha1.
  digests: ['sha512', 'sha1'],
  upstream: { locate },
  auth: { from: ['bearer', 'basic'], challenge: ({ base }) => `Bearer realm="${base}"` },
  routes,
  documents: [packument, searchType, keys, attestations],
  problem,
  release,
  warm,
};
