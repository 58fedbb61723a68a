import { describe, expect, it } from 'vitest';
import { readZipEntry, writeZipEntry } from '../../src/codecs/zip.ts';
import type { Artifact, Document, DocumentType, Format, Heard, Intent, Origin } from '../../src/core/format.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/p2/index.ts';
import {
  artifacts,
  compositeArtifacts,
  compositeContent,
  content,
  type SiteDocument,
} from '../../src/formats/p2/site.ts';
import { answered, base, conformance, intentOf } from '../conformance/format.ts';
import {
  artifactsXml,
  compositeXml,
  contentXml,
  documents,
  foreignProperties,
  lastModified,
  listed,
  md5Of,
  servedContentXml,
  sha256Of,
  upstream,
  upstreamHost,
} from './p2.samples.ts';

conformance(format, {
  documents,
  examples: {
    root: ['/'],
    index: ['/p2.index', '/releases/2024-06/p2.index'],
    metadata: [
      '/content.jar',
      '/content.xml',
      '/a/b/artifacts.jar',
      '/artifacts.xml',
      '/a/compositeContent.jar',
      '/compositeArtifacts.xml',
    ],
    xz: ['/content.xml.xz', '/a/artifacts.xml.xz', '/compositeContent.xml.xz'],
    artifact: [
      '/plugins/com.acme_1.0.0.jar',
      '/a/b/features/com.acme_1.0.0.v2024.jar',
      '/binary/com.acme_root.gtk.linux.x86_64_1.0.0.v2024',
    ],
    file: ['/site.xml', '/a/index.html', '/plugins/com.acme_1.0.0.jar.pack.gz', '/a/'],
  },
});

const router = compileRoutes(format.routes);

function intent(path: string, of: Format = format): Intent | undefined {
  return intentOf(of === format ? router : compileRoutes(of.routes), 'GET', path)?.intent;
}

function originOf(path: string, url = `${upstream}/${path}`): Origin {
  return { url, path, headers: {} };
}

function served(type: DocumentType<SiteDocument>, xml: string, origin: Origin): string {
  const body = type.encode(type.decode(Buffer.from(xml), origin), 'xml', base);
  return Buffer.from(body?.bytes ?? []).toString();
}

const repository = (inside: string): string => `<repository>${inside}</repository>`;

describe('p2.index', () => {
  it('names what is looked for, in the words of p2, and nothing that is not served', () => {
    for (const path of ['/p2.index', '/a/b/p2.index']) {
      expect(Buffer.from(answered(intent(path))?.bytes ?? []).toString()).toBe(
        'version=1\n' +
          'metadata.repository.factory.order=content.xml,compositeContent.xml,!\n' +
          'artifact.repository.factory.order=artifacts.xml,compositeArtifacts.xml,!\n',
      );
    }
  });

  it.each(['/content.xml.xz', '/a/compositeArtifacts.xml.xz'])(
    '%s is not there, and the answer says what is',
    (path) => {
      expect(answered(intent(path))).toMatchObject({ status: 404 });
      expect(Buffer.from(answered(intent(path))?.bytes ?? []).toString()).toContain('.jar');
    },
  );
});

describe('what a path is', () => {
  it.each<[string, Partial<Document>]>([
    ['/content.jar', { type: content, path: 'content.jar', variant: 'jar' }],
    ['/a/b/content.xml', { type: content, path: 'a/b/content.xml', variant: 'xml' }],
    ['/a/compositeContent.xml', { type: compositeContent, path: 'a/compositeContent.xml', variant: 'xml' }],
    ['/a/compositeArtifacts.jar', { type: compositeArtifacts, path: 'a/compositeArtifacts.jar', variant: 'jar' }],
    ['/artifacts.jar', { type: artifacts, path: 'artifacts', variant: 'jar' }],
    ['/a/artifacts.xml', { type: artifacts, path: 'a/artifacts', variant: 'xml' }],
  ])('%s is a document', (path, expected) => {
    expect(intent(path)).toMatchObject({ kind: 'document', ...expected });
  });

  it.each<[string, string, string, string]>([
    ['/plugins/org.eclipse.core_3.1.0.v2024.jar', 'org.eclipse.core', '3.1.0.v2024', 'artifacts'],
    ['/a/b/features/com.acme_1.0.0.jar', 'com.acme', '1.0.0', 'a/b/artifacts'],
    ['/plugins/org.acme.x86_64_1.2.3.v2024_07.jar', 'org.acme.x86_64', '1.2.3.v2024_07', 'artifacts'],
    ['/binary/acme_root.linux.x86_64_1.2.3', 'acme_root.linux.x86_64', '1.2.3', 'artifacts'],
    ['/plugins/x/plugins/acme_1.0.0.jar', 'acme', '1.0.0', 'plugins/x/artifacts'],
    ['/plugins/a%20b_1.0.0.jar', 'a b', '1.0.0', 'artifacts'],
  ])('%s is an artifact for ever', (path, name, version, describedBy) => {
    expect(intent(path)).toMatchObject({ kind: 'artifact', name, version, describedBy: { path: describedBy } });
    expect(intent(path)).not.toHaveProperty('freshness');
  });

  it.each([
    '/plugins/org.eclipse.core.jar',
    '/plugins/com.acme_1.0.0.zip',
    '/plugins/com.acme_1.0.0.jar.asc',
    '/plugins/com.acme_1.0.0.jar/META-INF/MANIFEST.MF',
    '/plugin/com.acme_1.0.0.jar',
    '/plugins/_1.0.0.jar',
    '/binary/readme.txt',
    '/site.xml',
    '/Content.xml',
    '/content.zip',
    '/content',
    '/artifacts',
    '/constructor.jar',
    '/constructor.xml.xz',
    '/xcontent.jar',
  ])('%s is a file that may change', (path) => {
    const file = intent(path);
    expect(file).toEqual({ kind: 'artifact', path: decodeURIComponent(path.slice(1)), freshness: 'revalidate' });
  });

  it('is no bundle when upstream answers with a page', () => {
    const { accepts } = intent('/plugins/a_1.0.0.jar') as Artifact;
    expect(['text/html', 'application/java-archive', ''].map((type) => accepts?.(type))).toEqual([false, true, true]);
  });

  it.each(['/', '/a/'])('%s is a folder, which is not there', (path) => {
    expect(answered(intent(path))?.status).toBe(404);
  });
});

describe('a document', () => {
  it('loses what leads elsewhere and keeps every other byte', () => {
    expect(servedContentXml).not.toContain(upstreamHost);
    expect(served(content, contentXml, originOf('content.xml'))).toBe(servedContentXml);
    const xml = artifactsXml(listed, foreignProperties);
    expect(served(artifacts, xml, originOf('artifacts', `${upstream}/artifacts.xml`))).toBe(artifactsXml(listed));
  });

  it('with nothing to lose is the same', () => {
    for (const xml of [servedContentXml, `\u{feff}${servedContentXml}`]) {
      expect(served(content, xml, originOf('content.xml'))).toBe(xml);
    }
  });

  it('packed and unpacked says the same, whichever of them upstream has', () => {
    for (const bytes of [Buffer.from(contentXml), writeZipEntry('content.xml', Buffer.from(contentXml))]) {
      const doc = content.decode(bytes, originOf('content.jar'));
      const archive = content.encode(doc, 'jar', base);
      expect(archive?.headers?.['content-type']).toBe('application/java-archive');
      const xml = readZipEntry(archive?.bytes ?? Buffer.alloc(0), 'content.xml', { maxSizeBytes: 1e6, maxRatio: 100 });
      expect(Buffer.from(xml ?? []).toString()).toBe(servedContentXml);
      expect(content.encode(doc, 'xml', base)).toEqual({
        headers: { 'content-type': 'application/xml' },
        bytes: Buffer.from(servedContentXml),
      });
    }
  });

  it.each([
    [lastModified, lastModified],
    [undefined, undefined],
    ['yesterday', undefined],
    ['', undefined],
  ])('of which upstream says that it is from %j is from %j', (said, expected) => {
    const origin = { ...originOf('content.xml'), headers: { 'last-modified': said } };
    const doc = content.decode(Buffer.from(contentXml), origin);
    for (const variant of ['xml', 'jar']) {
      expect(content.encode(doc, variant, base)?.headers?.['last-modified']).toBe(expected);
    }
  });

  it.each([
    [
      'double quotes',
      '<properties size="2"><property name="p2.mirrorsURL" value="x"/><property name="a" value="b"/></properties>',
      '<properties size="1"><property name="a" value="b"/></properties>',
    ],
    [
      'another order',
      "<properties size='1'><property value='>' name='p2.mirrorsURL'/></properties>",
      "<properties size='0'></properties>",
    ],
    [
      'blanks',
      "<properties\n size = '1' ><property\tname = 'p2.mirrorsURL' /></properties >",
      "<properties\n size = '0' ></properties >",
    ],
    ['no size', "<properties><property name='p2.mirrorsURL'/></properties>", '<properties></properties>'],
    [
      'a size that was wrong',
      "<properties size='9'><property name='p2.mirrorsURL'/><property name='a'/></properties>",
      "<properties size='1'><property name='a'/></properties>",
    ],
    [
      'an element that is closed by hand',
      "<properties><property name='p2.mirrorsURL'>\n <a><property/></a> </property><b/></properties>",
      '<properties><b/></properties>',
    ],
    ['references', "<properties><property name='p2.&#109;irrors&#x55;RL'/></properties>", '<properties></properties>'],
    [
      'prefixes',
      "<x:properties xmlns:x='y'><x:property x:name='p2.mirrorsURL'/></x:properties>",
      "<x:properties xmlns:x='y'></x:properties>",
    ],
    [
      'the property of a unit',
      "<units><unit><properties><property name='p2.mirrorsURL'/></properties></unit></units>",
      undefined,
    ],
    ['a comment', "<properties><!-- <property name='p2.mirrorsURL'/> --></properties>", undefined],
    ['character data', "<properties><![CDATA[<property name='p2.mirrorsURL'/>]]></properties>", undefined],
    ['an instruction', "<properties><?x <property name='p2.mirrorsURL'/>?></properties>", undefined],
    [
      'another name',
      "<properties><property name='p2.mirrorsURLs'/><property NAME='p2.mirrorsURL'/></properties>",
      undefined,
    ],
    ['a value that says it', "<properties><property name='x' value='p2.mirrorsURL'/></properties>", undefined],
    [
      'several at once',
      "<properties size='3'>\n <property name='p2.mirrorsURL'/>\n <property name='p2.statsURI'/>\n <property name='a'/>\n</properties>",
      "<properties size='1'>\n <property name='a'/>\n</properties>",
    ],
    ['references of a unit', '<units><references/></units>', undefined],
    [
      'line ends in values, as signatures have them',
      "<properties><property name='p2.mirrorsURL'/><property name='pgp.signatures' value='-----&#10;Version:&#xD;&#10;a\tb\r\n'/></properties>",
      "<properties><property name='pgp.signatures' value='-----&#10;Version:&#xD;&#10;a\tb\r\n'/></properties>",
    ],
    ['references that are empty', '<references/><units/>', '<units/>'],
  ])('is edited by its tags: %s', (_name, inside, expected) => {
    expect(served(content, repository(inside), originOf('content.xml'))).toBe(repository(expected ?? inside));
  });

  it.each([
    ['two roots', '<repository/><repository/>'],
    ['another root', '<site/>'],
    ['a tag left open', '<repository><a></repository>'],
    ['tags that cross', '<repository><a><b></a></b></repository>'],
    ['an end without start', '<repository></a></repository>'],
    ['a tag without end', '<repository><a</repository>'],
    ['a value without quotes', '<repository><a b=c/></repository>'],
    ['a value without end', "<repository><a b='c/></repository>"],
    ['an attribute without value', '<repository><a b/></repository>'],
    ['attributes without a blank', "<repository><a b='c'd='e'/></repository>"],
    ['a tag without name', '<repository>< a/></repository>'],
    ['a comment without end', '<repository/><!-- '],
    ['character data without end', '<repository><![CDATA[ </repository>'],
    ['a document type', '<!DOCTYPE repository><repository/>'],
    ['text before', 'x<repository/>'],
    ['text behind', '<repository/>x'],
    ['an unknown reference', "<repository><properties><property name='&p;'/></properties></repository>"],
    ['a reference without end', "<repository><properties><property name='a&amp'/></properties></repository>"],
    ['a reference to no character', "<repository><properties><property name='&#x110000;'/></properties></repository>"],
    ['a great depth', `<repository>${'<a>'.repeat(200)}${'</a>'.repeat(200)}</repository>`],
    ['a long name', `<repository><${'a'.repeat(101)}/></repository>`],
    ['another encoding', "<?xml version='1.0' encoding='UTF-16'?><repository/>"],
    ['nothing but an instruction', "<?xml version='1.0'?>"],
  ])('is none with %s', (_name, xml) => {
    expect(() => content.decode(Buffer.from(xml), originOf('content.xml'))).toThrow(/XML/);
  });

  it('of many tags takes time for each once', () => {
    const wide = repository(`<a ${Array.from({ length: 20_000 }, (_, i) => `b${i}='c'`).join(' ')}/>`.repeat(5));
    expect(served(content, wide, originOf('content.xml'))).toBe(wide);
  });
});

describe('children of a composite', () => {
  /** What is left of them, for the composite in `releases/2024/` below the upstream's base. */
  function childrenOf(locations: readonly string[], origin?: Origin, type = compositeContent): string[] {
    const xml = served(
      type,
      compositeXml('Metadata', locations),
      origin ?? originOf('releases/2024/compositeContent.jar'),
    );
    const found = [...xml.matchAll(/<child location='([^']*)'/g)].map((match) => match[1] ?? '');
    expect(xml).toBe(compositeXml('Metadata', found));
    return found;
  }

  it.each<[string, string | undefined]>([
    ['06', '06'],
    ['06/', '06/'],
    ['./06', './06'],
    ['../2023', '../2023'],
    ['../..', '../..'],
    ['../../other/x', '../../other/x'],
    ['a%20b', 'a%20b'],
    ['../../../x', undefined],
    ['../../../eclipse/tools', '../../tools/'],
    ['../../../../../eclipse/tools', '../../tools/'],
    ['/eclipse/tools', '../../tools/'],
    ['/tools', undefined],
    [`${upstream}/releases/2024/06`, '06/'],
    [`${upstream}/releases/2023/06/`, '../2023/06/'],
    [`http://${upstreamHost}/eclipse/releases/2024/06`, '06/'],
    [`HTTPS://${upstreamHost.toUpperCase()}:443/eclipse/x`, '../../x/'],
    [`${upstream}/a:b`, '../../a:b/'],
    [`${upstream}/releases/2024/a:b`, './a:b/'],
    [`https://user:secret@${upstreamHost}/eclipse/x?a=b#c`, '../../x/'],
    [`${upstream}/a&amp;b`, '../../a&amp;b/'],
    [` ${upstream}/x `, '../../x/'],
    [`//${upstreamHost}/eclipse/x`, '../../x/'],
    [upstream, '../../'],
    ['', undefined],
    ['.', undefined],
    [`${upstream}/releases/2024`, undefined],
    [`${upstream}x/y`, undefined],
    [`${upstream}/../y`, undefined],
    [`https://${upstreamHost}:8443/eclipse/x`, undefined],
    [`http://${upstreamHost}:8080/eclipse/x`, undefined],
    ['https://mirror.example/eclipse/x', undefined],
    ['//mirror.example/eclipse/x', undefined],
    ['\\\\mirror.example\\eclipse', undefined],
    ['file:/eclipse/x', undefined],
    ['jar:https://download.upstream.example/eclipse/x.zip!/', undefined],
    ['https://', undefined],
  ])('%s becomes %s', (location, expected) => {
    expect(childrenOf(['first', location, 'last'])).toEqual([
      'first',
      ...(expected === undefined ? [] : [expected]),
      'last',
    ]);
  });

  it('are treated alike in both documents, and their number is right', () => {
    const origin = originOf('releases/2024/compositeArtifacts.xml');
    expect(childrenOf(['a', 'https://mirror.example', 'b'], origin, compositeArtifacts)).toEqual(['a', 'b']);
    expect(childrenOf(['https://mirror.example'])).toEqual([]);
  });

  it('of a composite at the upstream’s base may not lie above it', () => {
    const origin = originOf('compositeContent.jar');
    expect(childrenOf(['a', '../x', '../eclipse/y', `${upstream}/z`, upstream], origin)).toEqual(['a', 'y/', 'z/']);
  });

  it('of a composite that was found under another path are those below it', () => {
    const origin = originOf('releases/compositeContent.jar', 'https://mirror.example/m/current/compositeContent.jar');
    const xml = ['a', '../b', `${upstream}/releases/c`, 'https://mirror.example/m/current/d'];
    expect(childrenOf(xml, origin)).toEqual(['a', 'd/']);
  });

  it('without an address, or with two, are none', () => {
    const xml = repository(
      "<children size='3'><child/><child location='a' x:location='b'/><child location='c'/></children>",
    );
    expect(served(compositeContent, xml, originOf('compositeContent.xml'))).toBe(
      repository("<children size='1'><child location='c'/></children>"),
    );
  });
});

describe('the artifacts document', () => {
  const linksOf = (xml: string, path = 'tools/artifacts') => {
    const origin = originOf(path, `${upstream}/${path}.jar`);
    return [...(artifacts.links?.(artifacts.decode(Buffer.from(xml), origin), origin) ?? [])];
  };

  it('tells the digest of every file that has one', () => {
    expect(linksOf(artifactsXml(listed, foreignProperties))).toEqual([
      {
        path: 'tools/plugins/com.acme.tool_1.0.0.v2024.jar',
        digests: [`sha256:${sha256Of('com.acme.tool')}`],
        size: 12,
      },
      { path: 'tools/plugins/com.acme.x86_64_2.0.0.v2024_1.jar', digests: [`md5:${md5Of('old')}`] },
      { path: 'tools/features/com.acme_1.0.0.jar', size: 7 },
      { path: 'tools/binary/com.acme_root.gtk.linux.x86_64_1.0.0.v2024' },
    ]);
  });

  it.each<[string, Readonly<Record<string, string>>, object]>([
    [
      'the strongest',
      { 'download.md5': 'a'.repeat(32), 'download.checksum.sha-512': 'b'.repeat(128) },
      { digests: [`sha512:${'b'.repeat(128)}`] },
    ],
    ['capital letters', { 'download.checksum.sha-1': 'A'.repeat(40) }, { digests: [`sha1:${'a'.repeat(40)}`] }],
    [
      'one that is none',
      { 'download.checksum.sha-256': 'abc', 'download.md5': 'a'.repeat(32) },
      { digests: [`md5:${'a'.repeat(32)}`] },
    ],
    ['that of the unpacked artifact', { 'artifact.checksum.sha-256': 'a'.repeat(64) }, {}],
    ['a size that is none', { 'download.size': '-1' }, {}],
  ])('is read for %s', (_name, properties, expected) => {
    expect(linksOf(artifactsXml([{ id: 'a', version: '1.0.0', properties }]), 'artifacts')).toEqual([
      { path: 'plugins/a_1.0.0.jar', ...expected },
    ]);
  });

  it.each<[string, string, string | undefined]>([
    ['a', '1', 'plugins/a_1.0.0.jar'],
    ['a', '1.2', 'plugins/a_1.2.0.jar'],
    ['a', 'raw:1.0', undefined],
    ['../../a', '1.0.0', undefined],
    ['plugins/a', '1.0.0', undefined],
    ['', '1.0.0', undefined],
  ])('lists %s %s at %s', (id, version, path) => {
    expect(linksOf(artifactsXml([{ id, version }]), 'artifacts').map((link) => link.path)).toEqual(path ? [path] : []);
  });

  it('has one path and may have either form: the archive is asked for first', () => {
    const want = intent('/a/artifacts.xml') as Document;
    const heard = (status: number): Heard => ({ status, headers: {}, url: upstream, bytes: Buffer.from('x') });
    expect(artifacts.obtain?.(want, [])).toEqual({ ask: { path: 'a/artifacts.jar' } });
    expect(artifacts.obtain?.(want, [heard(200)])).toEqual({ bytes: Buffer.from('x') });
    expect(artifacts.obtain?.(want, [heard(404)])).toEqual({ ask: { path: 'a/artifacts.xml' } });
    expect(artifacts.obtain?.(want, [heard(404), heard(200)])).toEqual({ bytes: Buffer.from('x') });
    expect(artifacts.obtain?.(want, [heard(404), heard(410)])).toEqual({ absent: true });
  });
});
