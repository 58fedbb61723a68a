/** Which form of a listing a client gets, and which one we ask upstream for (PEP 691). */

export const jsonType = 'application/vnd.pypi.simple.v1+json';
export const htmlType = 'application/vnd.pypi.simple.v1+html';
export const textType = 'text/html';

/** Variants by what clients call them; `latest` is whatever is newest, and what it was must be said in the answer. */
const offered: readonly { readonly variant: Variant; readonly types: readonly string[] }[] = [
  { variant: 'text', types: [textType] },
  { variant: 'json', types: [jsonType, 'application/vnd.pypi.simple.latest+json'] },
  { variant: 'html', types: [htmlType, 'application/vnd.pypi.simple.latest+html'] },
];

export type Variant = 'text' | 'json' | 'html';

export const contentTypes: Readonly<Record<Variant, string>> = {
  json: jsonType,
  html: htmlType,
  text: `${textType}; charset=utf-8`,
};

interface Wish {
  readonly quality: number;
  /** 2: it was named; 1: its kind was; 0: anything goes. */
  readonly named: number;
}

interface Range extends Wish {
  readonly type: string;
}

function rangesOf(accept: string): Range[] {
  return accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((text) => text.trim().toLowerCase());
    const told = parameters.find((parameter) => parameter.startsWith('q='));
    const quality = told === undefined ? 1 : Number(told.slice(2));
    return {
      type,
      quality: quality >= 0 && quality <= 1 ? quality : 0,
      named: type === '*/*' ? 0 : type.endsWith('/*') ? 1 : 2,
    };
  });
}

/** The most specific range that speaks of the type decides (RFC 9110, 12.5.1). */
function wishFor(ranges: readonly Range[], type: string): Wish | undefined {
  let wish: Wish | undefined;
  for (const range of ranges) {
    const fits = range.type === type || range.type === '*/*' || range.type === `${type.split('/')[0]}/*`;
    if (fits && (!wish || range.named > wish.named)) wish = range;
  }
  return wish;
}

/**
 * What the client wants most. Who names nothing gets `text/html`, which is all there was before there was a choice; who
 * names several as equals gets JSON, which tells most. What we don't have is no reason to refuse: the answer says what it is.
 */
export function variantFor(accept: string | undefined): Variant {
  if (accept === undefined || accept.trim() === '') return 'text';
  const ranges = rangesOf(accept);
  const order: readonly Variant[] = ['json', 'html', 'text'];
  let best: (Wish & { readonly variant: Variant }) | undefined;
  for (const { variant, types } of offered) {
    for (const type of types) {
      const wish = wishFor(ranges, type);
      if (!wish || wish.quality === 0) continue;
      const isBetter =
        !best ||
        wish.quality > best.quality ||
        (wish.quality === best.quality &&
          (wish.named > best.named ||
            (wish.named === best.named && wish.named === 2 && order.indexOf(variant) < order.indexOf(best.variant))));
      if (isBetter) best = { variant, ...wish };
    }
  }
  return best?.variant ?? 'text';
}

/** The type that `?format=` names, which clients without a say in headers may use. */
export function variantNamed(type: string): Variant | undefined {
  return offered.find(({ types }) => types.includes(type.toLowerCase()))?.variant;
}

/** JSON is the only form with times, sizes and versions; the others are read as well. */
export const upstreamAccept = `${jsonType}, ${htmlType};q=0.2, ${textType};q=0.1`;
