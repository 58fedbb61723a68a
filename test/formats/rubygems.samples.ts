/** Pages of a compact index as rubygems.org writes them, and what Ruby 3.1 marshals. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { DocumentSample, PublishSample, Question } from '../conformance/format.ts';
import { type GemContents, gemFile, gemForm } from '../support/gem-file.ts';

export const upstreamHost = 'gems.upstream.example';
export const upstream = `https://${upstreamHost}`;

export const md5Of = (bytes: string | Uint8Array): string => createHash('md5').update(bytes).digest('hex');
export const sha256Of = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const checksum = (full: string): string => `checksum:${sha256Of(full)}`;

export const rackInfo = `---
3.0.9 |${checksum('rack-3.0.9')},ruby:>= 2.4.0,created_at:2024-01-31T00:46:25Z
3.0.10.pre1 tilt:>= 2.0&< 3,webrick:~> 1.8|${checksum('rack-3.0.10.pre1')},ruby:>= 2.4.0,rubygems:> 1.3.1,created_at:2024-03-21T05:59:38Z
3.0.10 |${checksum('rack-3.0.10')},ruby:>= 2.4.0,created_at:2024-03-22T05:59:38Z
`;

export const nokogiriInfo = `---
1.16.0 mini_portile2:~> 2.8.2,racc:~> 1.4|${checksum('nokogiri-1.16.0')},ruby:>= 3.0.0,created_at:2023-12-27T18:25:00Z
1.16.0-java racc:~> 1.4|${checksum('nokogiri-1.16.0-java')},ruby:>= 3.0.0,created_at:2023-12-27T18:26:00Z
1.16.0-x86_64-linux racc:~> 1.4|${checksum('nokogiri-1.16.0-x86_64-linux')},ruby:< 3.4.dev&>= 3.0,created_at:2023-12-27T18:27:00Z
`;

export const versionsPage = `created_at: 2024-04-01T00:00:05Z
---
nokogiri 1.16.0,1.16.0-java ${md5Of('before')}
rack 3.0.9,3.0.10.pre1,3.0.10 ${md5Of(rackInfo)}
tilt 2.3.0,2.4.0 ${md5Of('tilt')}
nokogiri 1.16.0-x86_64-linux ${md5Of(nokogiriInfo)}
tilt -2.4.0 ${md5Of('tilt without')}
`;

export const namesPage = '---\nRedCloth\nnokogiri\nrack\ntilt\n';

/** `rack` in two versions, `nokogiri` for three platforms, `tilt`; what is the same is referred to. */
export const specsMarshal = Buffer.from(
  'BAhbC1sISSIJcmFjawY6BkVUVToRR2VtOjpWZXJzaW9uWwZJIgozLjAuOQY7AFRJIglydWJ5BjsAVFsIQAdVOwZbBkkiCzMuMC4xMAY7AFRAC1sISSINbm9rb2dpcmkGOwBUVTsGWwZJIgsxLjE2LjAGOwBUQAtbCEARQBJJIhF4ODZfNjQtbGludXgGOwBUWwhAEUASSSIJamF2YQY7AFRbCEkiCXRpbHQGOwBUVTsGWwZJIgoyLjMuMAY7AFRACw==',
  'base64',
);

/** `rack` 99.0.0 and `acme-tool`. */
export const otherSpecs = Buffer.from(
  'H4sIALiMAWsAA2PhiAZCTyXOosTkbDYrNteQUCtB99RcK6uw1KLizPy8aDZPJW5LSz0DPQM2a4YQkMrSpEoQE6SNLzE5N1W3JD8/ByQSas0GUs5loGcIUe3AHc3hwAsTNgYaYgk1JCuxLBHEBABhHxPzgAAAAA==',
  'base64',
);

export const specsList = gzipSync(specsMarshal);

/** Of `rack` 3.0.9. */
export const rackGemspec = Buffer.from(
  'eJxNkMFKxDAQhqss6aYqWFlRRFDyAKVaPDhFCai75Kqtlx6k1hGC27SmrVh9OR/NJKtockmY//syk8l0gL0F1gB3LVbyWVZlLxu1vlibTIt9wTaSKIlOzgiQm0xSwaguqxeSelkOocPuUXcGKIhgQRLF0bktigFoJmvcOvaOvjyzCNCPRqFg0zy7Mom5YOR9pdl1mlt8HaTGGlVfELN9wfzLC5dIiZWT2GJ5Sm2Zh3FBGpg59BpbVE+oqjGAgKuyNs/QXi57S0PI9Z/6By98vvOrPXWpgPdji7CpB9WbvmGbtxo1LrHscA4H/G015cM/V8cPBfMsHTtR6Y5xZv9oeBztrfA+vW/bb1xI',
  'base64',
);

export const gemFacts = {
  name: 'rack',
  version: '3.0.10',
  platform: 'ruby',
  version_created_at: '2024-03-22T05:59:38.000Z',
  sha: sha256Of('rack-3.0.10'),
  gem_uri: `${upstream}/gems/rack-3.0.10.gem`,
  homepage_uri: 'https://github.com/rack/rack',
  dependencies: { development: [], runtime: [] },
};

export const versionList = [
  { number: '3.1.0.rc1', platform: 'ruby', prerelease: true, created_at: '2024-04-01T00:00:00.000Z', sha: 'c' },
  { number: '3.0.10', platform: 'ruby', prerelease: false, created_at: '2024-03-22T05:59:38.000Z', sha: 'a' },
  { number: '3.0.10', platform: 'java', prerelease: false, created_at: '2024-03-22T06:59:38.000Z', sha: 'd' },
  { number: '3.0.9', platform: 'ruby', prerelease: false, created_at: '2024-01-31T00:46:25.000Z', sha: 'b' },
];

const darwin = '1.15.7-universal-darwin-20';
const darwinLine = `${darwin} racc:~> 1.4|${checksum(`ffi-${darwin}`)},ruby:>= 2.7,created_at:2023-09-12T00:00:00Z`;

const page = (type: string, path: string, bytes: Uint8Array | string): DocumentSample => ({
  type,
  path,
  url: `${upstream}/${path}`,
  bytes: Buffer.from(bytes),
  variants: [''],
  verbatim: true,
});

export const documents: readonly DocumentSample[] = [
  {
    ...page('versions', 'versions', versionsPage),
    wrong: {
      'a list without a digest': Buffer.from(`---\nrack 3.0.9\n`),
      'a list with half a digest': Buffer.from(`---\nrack 3.0.9 ${md5Of('x').slice(16)}\n`),
      'a list with a line for nobody': Buffer.from(`---\n 3.0.9 ${md5Of('x')}\n`),
      'a list with a name and nothing': Buffer.from(`---\nrack\ntilt 1.0 ${md5Of('x')}\n`),
      'a list of pages': Buffer.from(rackInfo),
    },
  },
  {
    ...page('names', 'names', namesPage),
    wrong: {
      'a list of something else': Buffer.from('---\nrack\n<p>\n'),
      'a list of versions': Buffer.from(versionsPage),
    },
  },
  {
    ...page('info', 'info/rack', rackInfo),
    wrong: {
      'a page about names': Buffer.from('---\nrack\ntilt\n'),
      'a page with another digest': Buffer.from('---\n1.0.0 |checksum:abc\n'),
      'a list of versions': Buffer.from(versionsPage),
    },
  },
  page('info', 'info/nokogiri', nokogiriInfo),
  page('info', 'info/old', `---\n1.0.0 |${checksum('old-1.0.0')}\n1.0.1 a:>= 0,b:= 1.0\n`),
  {
    ...page('full-name', `full/ffi-${darwin}`, `ffi\n${darwinLine}\n`),
    replies({ ask }: Question) {
      const path = 'path' in ask ? ask.path : ask.url;
      const found = path === 'info/ffi';
      return {
        status: found ? 200 : 404,
        headers: {},
        url: `${upstream}/${path}`,
        bytes: Buffer.from(found ? `---\n1.15.6 |${checksum('ffi-1.15.6')}\n${darwinLine}\n` : 'not found'),
      };
    },
    wrong: { 'a page': Buffer.from(rackInfo), 'a name alone': Buffer.from('ffi\n') },
  },
  { ...page('spec-list', 'specs.4.8.gz', specsList), variants: [], projections: [''] },
  { ...page('spec-list', 'prerelease_specs.4.8.gz', specsMarshal), variants: [], projections: [''] },
  {
    ...page('gemspec', 'quick/Marshal.4.8/rack-3.0.9.gemspec.rz', rackGemspec),
    variants: [],
    projections: [''],
    wrong: { 'a list': specsList },
  },
  {
    ...page('gem-facts', 'api/v1/gems/rack.json', JSON.stringify(gemFacts)),
    verbatim: false,
    wrong: { 'facts about nothing': Buffer.from('{"name":"rack"}') },
  },
  {
    ...page('version-list', 'api/v1/versions/rack.json', JSON.stringify(versionList)),
    projections: ['latest'],
    verbatim: false,
    wrong: { 'a list of nothing': Buffer.from('[{}]') },
  },
  {
    ...page(
      'search',
      `api/v1/search.json/${Buffer.from('["rack",2]').toString('base64url')}`,
      JSON.stringify([gemFacts, { name: 'rack-test', version: '2.1.0' }]),
    ),
    verbatim: false,
    replies: answering('api/v1/search.json', JSON.stringify([gemFacts, { name: 'rack-test', version: '2.1.0' }])),
    nothing: Buffer.from('[]'),
  },
  {
    ...page(
      'completions',
      `api/v1/search/autocomplete/${Buffer.from('["ra",1]').toString('base64url')}`,
      '["rack","rake"]',
    ),
    replies: answering('api/v1/search/autocomplete', '["rack","rake"]'),
    nothing: Buffer.from('[]'),
  },
  {
    ...page('owners', 'api/v1/gems/rack/owners.json', '[{"handle":"chneukirchen"},{"email":"a@example.com"}]'),
    projections: ['yaml'],
    verbatim: false,
    nothing: Buffer.from('[]'),
    wrong: { 'a list of names': Buffer.from('["rack"]') },
  },
];

function answering(path: string, text: string) {
  return ({ ask }: Question) => ({
    status: 'path' in ask && ask.path === path ? 200 : 404,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    url: `${upstream}/${path}`,
    bytes: Buffer.from(text),
  });
}

export const acmeTool: GemContents = {
  name: 'acme-tool',
  version: '1.2.0',
  needs: { rack: ['>= 2.0.1', '~> 2.0'], 'net-http': ['>= 0'] },
  developmentNeeds: { rspec: ['~> 3.0'] },
  ruby: ['>= 2.5', '< 4'],
  rubygems: ['>= 3.0'],
  metadata: { source_code_uri: 'https://github.com/acme/tool' },
  files: { 'lib/acme/tool.rb': 'module Acme; end\n' },
};

export const acmeToolJava: GemContents = { ...acmeTool, version: '1.3.0.rc1', platform: 'java' };

const tool = gemFile(acmeTool);
const java = gemFile(acmeToolJava);
const form = gemForm(java, '[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}]');

const lists = ['/versions', '/names', '/specs.4.8.gz', '/latest_specs.4.8.gz', '/prerelease_specs.4.8.gz'];

export const publishSamples: readonly PublishSample[] = [
  {
    title: 'a gem',
    request: { method: 'POST', path: '/api/v1/gems', body: tool },
    other: { method: 'POST', path: '/api/v1/gems', body: gemFile({ ...acmeTool, summary: 'Another one' }) },
    files: { '/gems/acme-tool-1.2.0.gem': tool },
    documents: [
      '/info/acme-tool',
      '/api/v1/gems/acme-tool.json',
      '/api/v1/versions/acme-tool.json',
      '/api/v1/versions/acme-tool/latest.json',
      '/api/v1/gems/acme-tool/owners.json',
      '/api/v1/gems/acme-tool/owners.yaml',
      '/quick/Marshal.4.8/acme-tool-1.2.0.gemspec.rz',
    ],
    always: [...lists, '/api/v1/search.json?query=tool', '/api/v1/search/autocomplete?query=acme'],
  },
  {
    title: 'a gem for a platform, with attestations',
    before: [{ method: 'POST', path: '/api/v1/gems', body: tool }],
    request: { method: 'POST', path: '/api/v1/gems', headers: { 'content-type': form.type }, body: form.body },
    other: { method: 'POST', path: '/api/v1/gems', body: gemFile({ ...acmeToolJava, summary: 'Another one' }) },
    files: { '/gems/acme-tool-1.3.0.rc1-java.gem': java },
    documents: [
      '/quick/Marshal.4.8/acme-tool-1.3.0.rc1-java.gemspec.rz',
      '/api/v1/attestations/acme-tool-1.3.0.rc1-java.json',
    ],
    always: lists,
  },
];
