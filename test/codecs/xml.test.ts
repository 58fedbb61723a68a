import { describe, expect, it } from 'vitest';
import { childOf, escapeXml, readXml, textAt, walkXml, writeXml } from '../../src/codecs/xml.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('reading XML', () => {
  it('makes a tree of it, names without the prefix of their namespace', () => {
    const root = readXml(
      bytes('<?xml version="1.0"?><m:a xmlns:m="urn:x" m:k="1"><b>one</b><m:b> two\n</m:b><!-- no --><c/></m:a>'),
    );
    expect(root).toEqual({
      name: 'a',
      attributes: { 'xmlns:m': 'urn:x', 'm:k': '1' },
      text: '',
      children: [
        { name: 'b', attributes: {}, text: 'one', children: [] },
        { name: 'b', attributes: {}, text: 'two', children: [] },
        { name: 'c', attributes: {}, text: '', children: [] },
      ],
    });
    expect(childOf(root, 'b')?.text).toBe('one');
    expect([textAt(root, 'b'), textAt(root, 'c'), textAt(root, 'd'), textAt(undefined, 'b')]).toEqual([
      'one',
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('knows the five entities, character references and CDATA', () => {
    expect(readXml(bytes('<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x1F600;<![CDATA[<b>&amp;]]></a>')).text).toBe(
      '<&>"\'A\u{1F600}<b>&amp;',
    );
  });

  it.each([
    ['UTF-8', bytes('<a>ü</a>')],
    ['UTF-8 with a byte order mark', bytes('\uFEFF<?xml version="1.0" encoding="UTF-8"?><a>ü</a>')],
    ['Latin-1, as it says', Buffer.from('<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>', 'latin1')],
    ['UTF-16', Buffer.from('\uFEFF<?xml version="1.0" encoding="UTF-16"?><a>ü</a>', 'utf16le')],
  ])('understands %s', (_name, document) => {
    expect(readXml(document).text).toBe('ü');
  });

  it.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['an element that does not end', '<a><b></b>'],
    ['elements that cross', '<a><b></a></b>'],
    ['two elements', '<a/><b/>'],
    ['text behind the end', '<a/>x'],
    ['an attribute twice', '<a b="1" b="2"/>'],
    ['an attribute without quotes', '<a b=1/>'],
    ['an entity that nobody declared', '<a>&nbsp;</a>'],
    ['a document type', '<!DOCTYPE a><a/>'],
    ['a document type in lower case', '<!doctype html><html></html>'],
    ['entities of its own', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ['a file of ours', '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'],
    ['a character that XML does not have', '<a>&#0;</a>'],
    ['an encoding that nobody knows', '<?xml version="1.0" encoding="x-unheard-of"?><a/>'],
  ])('refuses %s', (_name, document) => {
    expect(() => readXml(bytes(document))).toThrow(Error);
  });

  it('refuses bytes that are not in the encoding they are said to be in', () => {
    expect(() => readXml(Buffer.from([0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e]))).toThrow(Error);
  });

  it('stops at each of its limits, and not before', () => {
    const nested = (depth: number): Buffer => bytes('<a>'.repeat(depth) + '</a>'.repeat(depth));
    expect(() => readXml(nested(64))).not.toThrow();
    expect(() => readXml(nested(65))).toThrow('deeper than 64');
    expect(() => readXml(bytes(`<a>${'<b/>'.repeat(100)}</a>`))).not.toThrow();
    expect(() => readXml(nested(3), { depth: 2 })).toThrow('deeper than 2');
    expect(() => readXml(bytes('<a><b/><b/></a>'), { elements: 3 })).not.toThrow();
    expect(() => readXml(bytes('<a><b/><b/></a>'), { elements: 2 })).toThrow('more than 2');
    expect(() => readXml(bytes('<a/>'), { sizeBytes: 4 })).not.toThrow();
    expect(() => readXml(bytes('<a/>'), { sizeBytes: 3 })).toThrow('longer than 3');
  });

  it('can be done without making a tree', () => {
    const met: string[] = [];
    walkXml(bytes('<a x="1">t<b/></a>'), {
      open: (name, attributes) => met.push(`+${name}${JSON.stringify(attributes)}`),
      text: (text) => met.push(text),
      close: (name) => met.push(`-${name}`),
    });
    expect(met).toEqual(['+a{"x":"1"}', 't', '+b{}', '-b', '-a']);
  });
});

describe('writing XML', () => {
  const text = '<&>"\'\u{1F600}';

  it('escapes what has a meaning', () => {
    expect(escapeXml(text)).toBe('&lt;&amp;&gt;&quot;&apos;\u{1F600}');
  });

  it('comes out as it reads', () => {
    const written = writeXml({
      name: 'a',
      attributes: { k: text },
      content: [
        { name: 'b', content: text },
        { name: 'c', content: [] },
      ],
    });
    expect(Buffer.from(written).toString()).toBe(
      `<?xml version="1.0" encoding="UTF-8"?>\n<a k="${escapeXml(text)}">\n  <b>${escapeXml(text)}</b>\n  <c/>\n</a>\n`,
    );
    const root = readXml(written);
    expect(root.attributes).toEqual({ k: text });
    expect(textAt(root, 'b')).toBe(text);
  });
});
