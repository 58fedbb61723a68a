import { describe, expect, it } from 'vitest';
import { escapeHtml, readListing } from '../../src/codecs/html-anchors.ts';

const limits = { maxAnchors: 100 };
const hrefs = (page: string): (string | undefined)[] =>
  readListing(page, limits).anchors.map(({ attributes }) => attributes.get('href'));

describe('links', () => {
  it.each<[string, string, string[]]>([
    ['in double quotes', '<a href="x">x</a>', ['x']],
    ['in single quotes', "<a href='x y'>x</a>", ['x y']],
    ['without quotes', '<a href=x/y.whl>x</a>', ['x/y.whl']],
    ['in capitals', '<A HREF="x">x</A>', ['x']],
    ['with blanks and line breaks around the sign', '<a\n  href\t=\n "x"\n>x</a>', ['x']],
    ['with a sign for greater in an attribute', '<a data-requires-python=">=3.8" href="x">x</a>', ['x']],
    ['with references', '<a href="a&amp;b&#x2f;&#47;&lt;&unknown;">x</a>', ['a&b//<&unknown;']],
    ['with an attribute twice', '<a href="x" href="y">x</a>', ['x']],
    ['without an address', '<a name="top">top</a>', [undefined as unknown as string]],
    ['that are not closed before the next', '<a href="x">x<a href="y">y</a>', ['x', 'y']],
    ['outside comments', '<!-- <a href="x">x</a> --><a href="y">y</a>', ['y']],
    ['outside comments with marks in them', '<!-- > <a href="x">x</a> --><a href="y">y</a>', ['y']],
    ['outside scripts', '<script>"<a href=x>"</script><style>a<b</style><a href="y">y</a>', ['y']],
    ['behind a lonely sign', '1 < 2 <3 <a href="y">y</a>', ['y']],
    ['behind things that are no attributes', '<a "=/ href="x">x</a>', ['x']],
    ['of other elements', '<abbr href="x">x</abbr><link href="y"><area href="z">', []],
  ])('are read %s', (_what, page, found) => expect(hrefs(page)).toEqual(found));

  it('have their text, without the marks in it', () => {
    const [anchor] = readListing('<a href="x"> a &amp; <b>b</b>\n</a>', limits).anchors;
    expect(anchor?.text).toBe('a & b');
  });

  it('have attributes without a value', () => {
    const [anchor] = readListing('<a data-yanked href="x">x</a>', limits).anchors;
    expect(anchor?.attributes.get('data-yanked')).toBe('');
  });
});

it('base, title and meta elements are read', () => {
  const { base, title, metas } = readListing(
    '<!DOCTYPE html><html><head><base target="_top"><base href="/a/"><base href="/b/"><title>Links for <b> &amp; c</title><meta name="n" content="c"/></head><body></body></html>',
    limits,
  );
  expect({ base, title }).toEqual({ base: '/a/', title: 'Links for <b> & c' });
  expect(metas.map((meta) => [...meta])).toEqual([
    [
      ['name', 'n'],
      ['content', 'c'],
    ],
  ]);
});

describe('a page that was cut', () => {
  const page = '<!DOCTYPE html><html><body><!-- c --><a href="x" data-y=\'z\'>x</a><title>t</title></body></html>';

  it.each(Array.from({ length: page.length - '<!DOCTYPE html>'.length }, (_, cut) => '<!DOCTYPE html>'.length + cut))(
    'after %i bytes is refused unless nothing had begun',
    (cut) => {
      const read = (): unknown => readListing(page.slice(0, cut), limits);
      if (cut === '<!DOCTYPE html>'.length) expect(read).not.toThrow();
      else expect(read).toThrow('cut');
    },
  );

  it.each(['<', '<a', '<a href', '<a href="x', '<!', '<!--', '<!-- -', '<script>', '<a>x'])(
    'as %j is refused',
    (text) => {
      expect(() => readListing(text, limits)).toThrow('cut');
    },
  );
});

it('there is an end to links and to attributes', () => {
  const links = (count: number): string => '<a href=x>x</a>'.repeat(count);
  expect(readListing(links(100), limits).anchors).toHaveLength(100);
  expect(() => readListing(links(101), limits)).toThrow('more than 100 links');
  const attributes = Array.from({ length: 101 }, (_, nth) => `a${nth}=1`).join(' ');
  expect(() => readListing(`<a ${attributes}>x</a>`, limits)).toThrow('attributes');
});

it('what is escaped is read back', () => {
  const text = `<a href="x">&amp; 'quoted' "too"</a>`;
  const [anchor] = readListing(`<a href="${escapeHtml(text)}">${escapeHtml(text)}</a>`, limits).anchors;
  expect(anchor).toMatchObject({ text });
  expect(anchor?.attributes.get('href')).toBe(text);
});

it('hostile pages take time in proportion to their length', () => {
  const long = 200_000;
  const pages = ['<', '<a ', '</', '<!', '<a href=', '&#', '<title', 'a="', "<a ' "];
  for (const piece of pages) {
    const page = piece.repeat(long);
    try {
      readListing(page, { maxAnchors: Number.POSITIVE_INFINITY });
    } catch (error) {
      expect(String(error)).toMatch(/cut|attributes/);
    }
  }
});
