/** Eclipse p2 repositories, asked for as p2 asks: the index, a look at the date, the document, the files. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readZipEntry, writeZipEntry } from '../../src/codecs/zip.ts';
import { artifactsXml, compositeXml, contentXml, foreignProperties, servedContentXml } from '../formats/p2.samples.ts';
import type { FakeUpstream } from '../support/fake-upstream.ts';
import type { Answer } from '../support/http.ts';
import type { Larder } from '../support/larder.ts';
import { scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

const lastModified = 'Wed, 15 May 2024 10:11:12 GMT';
const bundle = Buffer.from('PK no bundle, but nobody looks');
const bundlePath = '/tools/plugins/com.acme.tool_1.0.0.jar';
const sha256 = createHash('sha256').update(bundle).digest('hex');
const listed = [
  {
    id: 'com.acme.tool',
    version: '1.0.0',
    properties: { 'download.size': String(bundle.length), 'download.checksum.sha-256': sha256 },
  },
];

interface Site {
  readonly upstream: FakeUpstream;
  readonly larder: Larder;
  ask(path: string, method?: string): Promise<Answer>;
}

async function site(source: object = { ttl: '1h' }, options: object = {}): Promise<Site> {
  const { upstream, larder } = await scene({
    repositories: { p2: { format: 'p2', sources: [{ remote: 'inner', ...source }], options } },
  });
  return { upstream, larder, ask: (path, method = 'GET') => larder.ask(`/public/p2${path}`, { method }) };
}

const archive = (entry: string, xml: string): Buffer => Buffer.from(writeZipEntry(entry, Buffer.from(xml)));

function unpacked(answer: Answer, entry: string): string {
  const xml = readZipEntry(answer.body, entry, { maxSizeBytes: 1e7, maxRatio: 100 });
  return Buffer.from(xml ?? []).toString();
}

function haveArtifacts(upstream: FakeUpstream, ending: 'jar' | 'xml'): void {
  const xml = artifactsXml(listed, foreignProperties);
  upstream.at(`/tools/artifacts.${ending}`, {
    body: ending === 'jar' ? archive('artifacts.xml', xml) : xml,
    lastModified,
  });
  upstream.at(bundlePath, { body: bundle, contentType: 'application/java-archive' });
}

describe('a document', () => {
  test('has the same date to HEAD and GET, and is asked for once', async () => {
    const { upstream, ask } = await site();
    upstream.at('/tools/content.jar', { body: archive('content.xml', contentXml), lastModified });
    const head = await ask('/tools/content.jar', 'HEAD');
    const answer = await ask('/tools/content.jar');
    expect([head.status, answer.status]).toEqual([200, 200]);
    expect(unpacked(answer, 'content.xml')).toBe(servedContentXml);
    for (const name of ['last-modified', 'content-length', 'content-type', 'etag']) {
      expect(head.headers[name], name).toBe(answer.headers[name]);
    }
    expect(answer.headers['last-modified']).toBe(lastModified);
    expect(upstream.count('/tools/content.jar')).toBe(1);
  });

  test('is looked for as p2 does: what upstream has in one form only is not there in the other', async () => {
    const { upstream, ask } = await site();
    upstream.at('/tools/content.xml', { body: contentXml, lastModified });
    expect((await ask('/tools/p2.index')).text()).toContain('content.xml,compositeContent.xml,!');
    expect((await ask('/tools/content.xml.xz', 'HEAD')).status).toBe(404);
    expect((await ask('/tools/content.jar', 'HEAD')).status).toBe(404);
    expect((await ask('/tools/content.xml', 'HEAD')).headers['last-modified']).toBe(lastModified);
    expect((await ask('/tools/content.xml')).text()).toBe(servedContentXml);
    expect(upstream.requests.map(({ path }) => path)).toEqual(['/tools/content.jar', '/tools/content.xml']);
  });

  test('of another generation replaces the one before, with its own date', async () => {
    const { upstream, ask } = await site({ ttl: '0s', staleWhileRevalidate: '0s' });
    upstream.at('/content.xml', { body: contentXml, lastModified });
    await ask('/content.xml');
    expect((await ask('/content.xml')).headers['x-larder-cache']).toBe('revalidated');
    const later = 'Thu, 16 May 2024 10:11:12 GMT';
    upstream.at('/content.xml', { body: contentXml.replace('Größe', 'Other'), lastModified: later });
    const answer = await ask('/content.xml');
    expect(answer.headers['last-modified']).toBe(later);
    expect(answer.text()).toContain("name='Other'");
  });

  test.each<[string, Buffer | string]>([
    ['a page', '<!doctype html><title>Sign in</title>'],
    ['half of it', archive('content.xml', contentXml).subarray(0, 200)],
    ['another archive', archive('other.xml', contentXml)],
    ['one with a document type', archive('content.xml', '<!DOCTYPE repository><repository/>')],
  ])('that is %s is never stored, and the next good one heals it', async (_name, body) => {
    const { upstream, ask } = await site();
    upstream.at('/content.jar', { body }, { body: archive('content.xml', contentXml) });
    expect((await ask('/content.jar')).status).toBe(502);
    expect(unpacked(await ask('/content.jar'), 'content.xml')).toBe(servedContentXml);
  });

  test.each([500, 503, 429, 403])('that upstream answers with %i is not missing', async (status) => {
    const { upstream, ask } = await site();
    upstream.at('/content.jar', { status, body: 'no' });
    expect((await ask('/content.jar', 'HEAD')).status).toBeGreaterThanOrEqual(502);
  });

  test('stands in while upstream is away', async () => {
    const { upstream, ask } = await site({ ttl: '0s' });
    upstream.at('/content.jar', { body: archive('content.xml', contentXml), lastModified });
    await ask('/content.jar');
    await upstream.stop();
    expect((await ask('/content.jar')).headers['last-modified']).toBe(lastModified);
  });
});

test('children of a composite can be followed', async () => {
  const { upstream, larder, ask } = await site();
  const children = ['2024-03', `${upstream.url}/elsewhere/2024-06/`, 'https://mirror.example/2024-09'];
  upstream.at('/releases/compositeContent.xml', { body: compositeXml('Metadata', children) });
  upstream.at('/elsewhere/2024-06/content.xml', { body: contentXml });
  const xml = (await ask('/releases/compositeContent.xml')).text();
  const found = [...xml.matchAll(/location='([^']*)'/g)].map((match) => match[1] ?? '');
  expect(found).toEqual(['2024-03', '../elsewhere/2024-06/']);
  const child = new URL(`${found[1]}content.xml`, `${larder.url}/public/p2/releases/`).pathname;
  expect((await larder.ask(child)).text()).toBe(servedContentXml);
});

describe('the artifacts document', () => {
  test.each(['jar', 'xml'] as const)('is there in both forms when upstream has artifacts.%s', async (ending) => {
    const { upstream, ask } = await site();
    haveArtifacts(upstream, ending);
    const packed = await ask('/tools/artifacts.jar');
    const plain = await ask('/tools/artifacts.xml');
    expect(plain.text()).toBe(artifactsXml(listed));
    expect(unpacked(packed, 'artifacts.xml')).toBe(artifactsXml(listed));
    for (const answer of [packed, plain]) expect(answer.headers['last-modified']).toBe(lastModified);
    expect((await ask('/tools/artifacts.jar', 'HEAD')).headers['last-modified']).toBe(lastModified);
    expect(upstream.count(`/tools/artifacts.${ending}`)).toBe(1);
  });

  test('of a site with thousands of bundles checks each of them', async () => {
    const { upstream, ask } = await site();
    const many = Array.from({ length: 5000 }, (_, i) => ({
      id: `com.acme.part${i}`,
      version: '1.0.0',
      properties: { 'download.checksum.sha-256': createHash('sha256').update(`${i}`).digest('hex') },
    }));
    const packed = archive('artifacts.xml', artifactsXml([...many, ...listed], foreignProperties));
    expect(packed.length).toBeGreaterThan(128 * 1024);
    upstream.at('/tools/artifacts.jar', { body: packed, lastModified });
    upstream.at(bundlePath, { body: bundle });
    upstream.at('/tools/plugins/com.acme.part77_1.0.0.jar', { body: '78' });
    expect((await ask(bundlePath)).body).toEqual(bundle);
    expect((await ask('/tools/plugins/com.acme.part77_1.0.0.jar')).status).toBe(502);
    expect((await ask('/tools/artifacts.xml')).text()).toBe(artifactsXml([...many, ...listed]));
    const answer = await ask('/tools/artifacts.jar');
    expect(unpacked(answer, 'artifacts.xml')).toBe(artifactsXml([...many, ...listed]));
    expect(answer.headers['last-modified']).toBe(lastModified);
    expect(upstream.count('/tools/artifacts.jar')).toBe(1);
  });

  test('that is nowhere is missing, and that is asked once', async () => {
    const { upstream, ask } = await site();
    for (const ending of ['jar', 'xml', 'jar']) expect((await ask(`/tools/artifacts.${ending}`)).status).toBe(404);
    expect(upstream.requests.map(({ path }) => path)).toEqual(['/tools/artifacts.jar', '/tools/artifacts.xml']);
  });
});

describe('a bundle', () => {
  test.each(['jar', 'xml'] as const)('is checked against artifacts.%s, and fetched once', async (ending) => {
    const { upstream, ask } = await site();
    haveArtifacts(upstream, ending);
    const head = await ask(bundlePath, 'HEAD');
    expect([head.status, head.headers['content-length']]).toEqual([200, String(bundle.length)]);
    expect((await ask(bundlePath)).body).toEqual(bundle);
    await eventually('it is stored', async () => (await ask(bundlePath)).headers['x-larder-cache'] === 'hit');
    expect(upstream.count(bundlePath, 'GET')).toBe(1);
    await upstream.stop();
    expect((await ask(bundlePath)).body).toEqual(bundle);
  });

  test.each([
    ['other bytes', Buffer.from('PK no bundle, but nobody lookt')],
    ['fewer bytes', bundle.subarray(1)],
  ])('that comes as %s is no hit, and the next good one heals it', async (_name, wrong) => {
    const { upstream, ask } = await site();
    haveArtifacts(upstream, 'jar');
    upstream.at(bundlePath, { body: wrong }, { body: wrong }, { body: bundle });
    const failed = await ask(bundlePath).then(
      ({ status }) => status,
      () => 'cut',
    );
    expect(failed).not.toBe(200);
    const answer = await eventually('it is whole', async () => {
      const asked = await ask(bundlePath).catch(() => undefined);
      return asked?.status === 200 ? asked : undefined;
    });
    expect(answer.body).toEqual(bundle);
  });

  test('is fetched although upstream’s document does not list it, or there is none', async () => {
    const { upstream, ask } = await site();
    haveArtifacts(upstream, 'jar');
    const path = '/tools/plugins/com.acme.other_1.0.0.jar';
    upstream.at(path, { body: bundle });
    expect((await ask(path)).body).toEqual(bundle);
    upstream.at('/else/plugins/a_1.0.0.jar', { body: bundle });
    expect((await ask('/else/plugins/a_1.0.0.jar')).body).toEqual(bundle);
    expect((await ask('/else/plugins/b_1.0.0.jar')).status).toBe(404);
    upstream.at('/plugins/a_1.0.0.jar', { body: '<html>Sign in', contentType: 'text/html; charset=utf-8' });
    expect((await ask('/plugins/a_1.0.0.jar')).status).toBe(502);
  });

  test('that was fetched once stays when the site lists others', async () => {
    const { upstream, ask } = await site({ ttl: '0s', staleWhileRevalidate: '0s' });
    haveArtifacts(upstream, 'jar');
    await ask(bundlePath);
    await eventually('it is stored', async () => (await ask(bundlePath)).headers['x-larder-cache'] === 'hit');
    upstream.at('/tools/artifacts.jar', { body: archive('artifacts.xml', artifactsXml([])) });
    upstream.at(bundlePath, { status: 404 });
    expect((await ask(bundlePath)).body).toEqual(bundle);
  });

  test('is trouble while its document is', async () => {
    const { upstream, ask } = await site();
    haveArtifacts(upstream, 'jar');
    upstream.at('/tools/artifacts.jar', { status: 500 });
    expect((await ask(bundlePath)).status).toBe(503);
    expect(upstream.count(bundlePath)).toBe(0);
  });
});

test('what is not there is said in plain text', async () => {
  const { ask } = await site();
  const answer = await ask('/nothing/here.txt');
  expect([answer.status, answer.headers['content-type']]).toEqual([404, 'text/plain; charset=utf-8']);
});
