/** The order of Maven versions, as the POM reference specifies it ("Version Order Specification"). */

/** A piece of a version. What a qualifier follows makes no difference, a number after a dot counts more than one after a hyphen. */
interface Token {
  readonly kind: 'qualifier' | 'hyphen-number' | 'dot-number';
  /** Of a number without leading zeroes; of a qualifier in lower case, aliases replaced. */
  readonly text: string;
}

const kinds: readonly Token['kind'][] = ['qualifier', 'hyphen-number', 'dot-number'];
/** Those that mean something, in their order; all others come after them, in the order of the alphabet. */
const qualifiers = ['alpha', 'beta', 'milestone', 'rc', 'snapshot', '', 'sp'];
const aliases: Readonly<Record<string, string>> = { cr: 'rc', ga: '', final: '', release: '' };
/** Only right before a digit. */
const shorthands: Readonly<Record<string, string>> = { a: 'alpha', b: 'beta', m: 'milestone' };

/** In characters. What comes behind is not looked at; Maven 4 refuses versions that are any longer. */
const longest = 256;

function numberAfter(separator: string, digits: string): Token {
  return { kind: separator === '.' ? 'dot-number' : 'hyphen-number', text: digits.replace(/^0+(?=\d)/, '') };
}

function qualifier(text: string, beforeDigit: boolean): Token {
  const full = beforeDigit && Object.hasOwn(shorthands, text) ? shorthands[text] : undefined;
  return { kind: 'qualifier', text: full ?? (Object.hasOwn(aliases, text) ? (aliases[text] ?? '') : text) };
}

/** Without the zeroes at the end, and in front of every token but a number after a dot. */
function tokensOf(version: string): readonly Token[] {
  const tokens: Token[] = [];
  let separator = '.';
  let empty = true;
  const text = version.slice(0, longest).toLowerCase();
  for (const match of text.matchAll(/[.-]|\d+|[^\d.-]+/g)) {
    const [piece] = match;
    if (piece === '.' || piece === '-') {
      if (empty) tokens.push(numberAfter(separator, '0'));
      separator = piece;
      empty = true;
      continue;
    }
    const isNumber = /^\d/.test(piece);
    const next = text[match.index + piece.length] ?? '';
    tokens.push(isNumber ? numberAfter(separator, piece) : qualifier(piece, /\d/.test(next)));
    separator = '-';
    empty = false;
  }
  for (let i = tokens.length - 1; i > 0; i--) {
    if (tokens[i]?.text === '0' && tokens[i + 1]?.kind !== 'dot-number') tokens.splice(i, 1);
  }
  return tokens;
}

/** What stands in place of a token that one of two versions does not have. */
const padding = {
  qualifier: { kind: 'qualifier', text: '' },
  'hyphen-number': { kind: 'qualifier', text: '' },
  'dot-number': { kind: 'dot-number', text: '0' },
} as const satisfies Record<Token['kind'], Token>;

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function compareTokens(a: Token, b: Token): number {
  if (a.kind !== b.kind) return kinds.indexOf(a.kind) - kinds.indexOf(b.kind);
  if (a.kind !== 'qualifier') return a.text.length - b.text.length || order(a.text, b.text);
  const [known, other] = [qualifiers.indexOf(a.text), qualifiers.indexOf(b.text)];
  if (known !== -1 && other !== -1) return known - other;
  if (known !== -1) return -1;
  return other === -1 ? order(a.text, b.text) : 1;
}

function compareParsed(a: readonly Token[], b: readonly Token[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [left, right] = [a[i], b[i]];
    const found = compareTokens(left ?? padding[(right as Token).kind], right ?? padding[(left as Token).kind]);
    if (found !== 0) return found;
  }
  return 0;
}

/** Negative when `a` is the lower one; 0 for versions that mean the same (`1` and `1.0`). */
export function compareVersions(a: string, b: string): number {
  return compareParsed(tokensOf(a), tokensOf(b));
}

/** A sorted copy, lowest first; versions that mean the same stay in the order they came in. */
export function sortVersions(versions: readonly string[]): string[] {
  return versions
    .map((version) => ({ version, tokens: tokensOf(version) }))
    .sort((a, b) => compareParsed(a.tokens, b.tokens))
    .map(({ version }) => version);
}

/** Maven takes every version with this end for one that changes. */
export function isSnapshot(version: string): boolean {
  return version.endsWith('SNAPSHOT');
}
