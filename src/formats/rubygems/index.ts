/** RubyGems: the compact index that Bundler reads, the lists and specifications in Ruby's Marshal that `gem` reads, the gems, and what `gem push` and its kin send. */
import type { Answer, Artifact, Call, Document, DocumentType, Format, Intent } from '../../core/format.ts';
import { releaseElsewhere } from './elsewhere.ts';
import { fullName, fullNamePath } from './full-name.ts';
import { gemspec, gemspecPath } from './gemspec.ts';
import { info } from './info.ts';
import { gemFacts, versionList } from './json.ts';
import { gemPath, isName, type Reading, readingsOf } from './name.ts';
import { names } from './names.ts';
import { owners } from './owners.ts';
import { attestationsPath, changeOwners, push, yank } from './publish.ts';
import { completed, completions, search, searched } from './search.ts';
import { oldSignIn, signIn } from './sign-in.ts';
import { specList } from './spec-list.ts';
import { textBody } from './text.ts';
import { versions } from './versions.ts';
import { warm } from './warm.ts';

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

function answer(text: string, status = 200): Answer {
  return { kind: 'answer', body: textBody(`${text}\n`, status) };
}

const root = answer('A repository of gems: name this address as source of a Gemfile, or to `gem sources --add`.');
/** Gone from rubygems.org since 2023. Bundler looks whether it is there, and goes on to the lists. */
const dependencies = answer('The dependency API is no more: the compact index has what it had.', 404);

function page(type: DocumentType<unknown>, path: string): Intent {
  return { kind: 'document', type, path };
}

function pageOf(name: string): Document {
  return { kind: 'document', type: info, path: `info/${name}`, name };
}

function readInfo(call: Call): Intent | undefined {
  const name = param(call, 'name');
  return isName(name) ? pageOf(name) : undefined;
}

const isNoText = (type: string): boolean => !/^text\/|^application\/(?:[\w.-]+\+)?(?:json|xml)$/.test(type);
const isJson = (type: string): boolean => /^application\/json\b/.test(type);

/** A private gem may be meant by any reading: then nobody else is asked about any of them. */
function namesIn(readings: readonly Reading[]): Pick<Artifact, 'name' | 'version' | 'otherNames'> {
  const [likely, ...others] = readings;
  if (!likely) return {};
  return {
    ...likely,
    ...(others.length === 0 ? {} : { otherNames: others.map(({ name }) => name) }),
  };
}

/** What describes a gem is the page that clients have just read; only a name with several readings needs a look of its own. */
function gemAt(full: string, isDescribed: boolean): Artifact | undefined {
  const readings = readingsOf(full);
  const [likely] = readings;
  if (!likely) return undefined;
  const names = namesIn(readings);
  const describedBy: Document =
    readings.length === 1
      ? pageOf(likely.name)
      : { kind: 'document', type: fullName, path: fullNamePath(full), ...names };
  return {
    kind: 'artifact',
    path: gemPath(full),
    ...names,
    contentType: 'application/octet-stream',
    accepts: isNoText,
    ...(isDescribed ? { describedBy } : {}),
  };
}

function readGemspec(call: Call): Intent | undefined {
  const full = param(call, 'full');
  const readings = readingsOf(full);
  if (readings.length === 0) return undefined;
  return {
    kind: 'artifact',
    path: gemspecPath(full),
    ...namesIn(readings),
    contentType: 'application/octet-stream',
    reads: gemspec,
    limit: gemspec.limit,
  };
}

function readGemFacts(call: Call): Intent | undefined {
  const name = param(call, 'name');
  return isName(name) ? { kind: 'document', type: gemFacts, path: `api/v1/gems/${name}.json`, name } : undefined;
}

function readVersions(call: Call, variant: string): Intent | undefined {
  const name = param(call, 'name');
  if (!isName(name)) return undefined;
  return { kind: 'document', type: versionList, path: `api/v1/versions/${name}.json`, name, variant };
}

function readOwners(call: Call, variant: string): Intent | undefined {
  const name = param(call, 'name');
  if (!isName(name)) return undefined;
  return { kind: 'document', type: owners, path: `api/v1/gems/${name}/owners.json`, name, variant };
}

/** Signed statements about where a gem was made, as they came with it. */
function readAttestations(call: Call): Intent | undefined {
  const full = param(call, 'full');
  const readings = readingsOf(full);
  if (readings.length === 0) return undefined;
  return {
    kind: 'artifact',
    path: attestationsPath(full),
    ...namesIn(readings),
    freshness: 'revalidate',
    contentType: 'application/json',
    accepts: isJson,
    limit: 8 * 1024 * 1024,
  };
}

interface Options {
  /** Whether gems are checked against the digests of their pages, without which there is no gem. */
  readonly compactIndex: boolean;
}

function formatWith({ compactIndex }: Options): Format {
  return {
    id: 'rubygems',
    extraSlash: true,
    digests: [],
    upstream: { reads: ['date', 'last-modified'] },
    auth: { from: ['basic', 'bearer', 'raw'], challenge: () => 'Basic realm="Larder"' },
    routes: [
      { id: 'root', method: 'GET', path: '/', intent: () => root },
      { id: 'versions', method: 'GET', path: '/versions', intent: () => page(versions, 'versions') },
      { id: 'names', method: 'GET', path: '/names', intent: () => page(names, 'names') },
      { id: 'info', method: 'GET', path: '/info/{name}', intent: readInfo },
      {
        id: 'gem',
        method: 'GET',
        path: '/gems/{full}.gem',
        intent: (call) => gemAt(param(call, 'full'), compactIndex),
      },
      { id: 'gemspec', method: 'GET', path: '/quick/Marshal.4.8/{full}.gemspec.rz', intent: readGemspec },
      ...(['specs', 'latest_specs', 'prerelease_specs'] as const).map((list) => ({
        id: list.replace('_', '-'),
        method: 'GET' as const,
        path: `/${list}.4.8.gz`,
        intent: () => page(specList, `${list}.4.8.gz`),
      })),
      { id: 'dependencies', method: 'GET', path: '/api/v1/dependencies', intent: () => dependencies },
      { id: 'gem-facts', method: 'GET', path: '/api/v1/gems/{name}.json', intent: readGemFacts },
      {
        id: 'version-list',
        method: 'GET',
        path: '/api/v1/versions/{name}.json',
        intent: (call) => readVersions(call, 'all'),
      },
      {
        id: 'latest',
        method: 'GET',
        path: '/api/v1/versions/{name}/latest.json',
        intent: (call) => readVersions(call, 'latest'),
      },
      { id: 'search', method: 'GET', path: '/api/v1/search.json', intent: ({ query }) => searched(query) },
      {
        id: 'autocomplete',
        method: 'GET',
        path: '/api/v1/search/autocomplete',
        intent: ({ query }) => completed(query),
      },
      { id: 'attestations', method: 'GET', path: '/api/v1/attestations/{full}.json', intent: readAttestations },
      {
        id: 'owners',
        method: 'GET',
        path: '/api/v1/gems/{name}/owners.json',
        intent: (call) => readOwners(call, 'json'),
      },
      {
        id: 'owners-yaml',
        method: 'GET',
        path: '/api/v1/gems/{name}/owners.yaml',
        intent: (call) => readOwners(call, 'yaml'),
      },
      { id: 'push', method: 'POST', path: '/api/v1/gems', intent: () => push },
      { id: 'yank', method: 'DELETE', path: '/api/v1/gems/yank', intent: () => yank },
      { id: 'add-owner', method: 'POST', path: '/api/v1/gems/{name}/owners', intent: changeOwners },
      { id: 'remove-owner', method: 'DELETE', path: '/api/v1/gems/{name}/owners', intent: changeOwners },
      { id: 'sign-in', method: 'POST', path: '/api/v1/api_key', intent: () => signIn },
      // RubyGems before 3.2.
      { id: 'key', method: 'GET', path: '/api/v1/api_key', intent: () => oldSignIn },
    ],
    documents: [versions, names, info, fullName, specList, gemspec, gemFacts, versionList, search, completions, owners],
    release: releaseElsewhere,
    warm,
    // Printed as it is. RubyGems takes two beginnings of such a text for questions of its own, neither of which is ours.
    problem: ({ status, message }) => textBody(`${message}\n`, status),
    configure(options) {
      const { compactIndex: wanted = true, ...unknown } = options;
      const [other] = Object.keys(unknown);
      if (other !== undefined) throw new Error(`there is no option ${other}; there is compactIndex`);
      if (typeof wanted !== 'boolean') throw new Error('compactIndex is true or false');
      return formatWith({ compactIndex: wanted });
    },
  };
}

export const format: Format = formatWith({ compactIndex: true });
