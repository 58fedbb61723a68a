/** Route templates compiled to a matcher. A template is data, so metric labels, docs and tests can walk the same table. */
import type { Route } from './format.ts';
import { decodePath } from './path.ts';

export type Params = Readonly<Record<string, string>>;

/** The methods with which the path would have been understood. */
export interface NotAllowed {
  readonly allow: readonly string[];
}

export interface Router {
  /**
   * The first route that matches and that `accept` makes something of. The path is raw: still percent-encoded, below the
   * repository, starting with a slash, without query. `accept` returns `undefined` to have the next route tried; it
   * is also asked about routes of other methods, to tell 405 from 404, so it must be pure. `undefined`: no such path.
   * Throws a problem for a path that is not safe.
   */
  find<T extends object>(
    method: string,
    rawPath: string,
    accept: (route: Route, params: Params) => T | undefined,
  ): T | NotAllowed | undefined;
}

/** One segment of a template: text, or a parameter with text around it. */
interface Piece {
  /** Of a literal the whole text, else what stands before the parameter. */
  readonly prefix: string;
  readonly suffix: string;
  readonly param?: string;
}

interface Template {
  readonly route: Route;
  readonly method: string;
  readonly pieces: readonly Piece[];
  /** Index of the `{x+}` piece, or -1. */
  readonly many: number;
}

/** Paths of as many segments or more share one list of candidates; no template has as many. */
const manySegments = 16;

const parameter = /^([^{}]*)\{([a-zA-Z][a-zA-Z0-9]*)(\+?)\}([^{}]*)$/;

function compile(route: Route): Template {
  const fail = (why: string): never => {
    throw new Error(`Route ${route.id}: ${route.path} ${why}`);
  };
  if (!route.path.startsWith('/')) fail('does not start with a slash');
  let many = -1;
  const names = new Set<string>();
  const pieces = route.path
    .slice(1)
    .split('/')
    .map((text, index): Piece => {
      if (!/[{}]/.test(text)) return { prefix: text, suffix: '' };
      const [, prefix = '', param = '', plus, suffix = ''] =
        parameter.exec(text) ?? fail(`has a malformed segment ${text}`);
      if (names.has(param)) fail(`names {${param}} twice`);
      names.add(param);
      if (plus) {
        if (many !== -1) fail('has more than one parameter of several segments');
        many = index;
      }
      return { prefix, suffix, param };
    });
  if (pieces.length >= manySegments) fail(`has ${manySegments} segments or more`);
  return { route, method: route.method, pieces, many };
}

/** `text` is what is offered to a piece; adds to `params` and tells whether it fits. */
function fits(piece: Piece, text: string, params: Record<string, string>): boolean {
  const { prefix, suffix, param } = piece;
  if (param === undefined) return text === prefix;
  if (text.length <= prefix.length + suffix.length) return false;
  if (prefix !== '' && !text.startsWith(prefix)) return false;
  if (suffix !== '' && !text.endsWith(suffix)) return false;
  params[param] = prefix === '' && suffix === '' ? text : text.slice(prefix.length, text.length - suffix.length);
  return true;
}

/** The template is a candidate for that many segments. */
function match(template: Template, segments: readonly string[]): Params | undefined {
  const { pieces, many } = template;
  const extra = segments.length - pieces.length;
  // Literals first: they rule out most templates without making anything.
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Piece;
    if (piece.param === undefined && segments[many !== -1 && i > many ? i + extra : i] !== piece.prefix)
      return undefined;
  }
  const params: Record<string, string> = {};
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Piece;
    if (piece.param === undefined) continue;
    const text =
      i === many
        ? segments.slice(i, i + extra + 1).join('/')
        : (segments[many !== -1 && i > many ? i + extra : i] as string);
    if (!fits(piece, text, params)) return undefined;
  }
  return params;
}

/** Routes of one format, in their order; throws on a template that can't be understood. */
export function compileRoutes(routes: readonly Route[]): Router {
  const templates = routes.map(compile);
  const byCount = Array.from({ length: manySegments + 1 }, (_, count) =>
    templates.filter(({ pieces, many }) => (many === -1 ? pieces.length === count : pieces.length <= count)),
  );
  return {
    find(method, rawPath, accept) {
      const segments = decodePath(rawPath);
      const wanted = method === 'HEAD' ? 'GET' : method;
      const candidates = byCount[Math.min(segments.length, manySegments)] as readonly Template[];
      for (const template of candidates) {
        if (template.method !== wanted) continue;
        const params = match(template, segments);
        const found = params && accept(template.route, params);
        if (found) return found;
      }
      const allow = new Set<string>();
      for (const template of candidates) {
        if (template.method === wanted) continue;
        const params = match(template, segments);
        if (!params || !accept(template.route, params)) continue;
        allow.add(template.method);
        if (template.method === 'GET') allow.add('HEAD');
      }
      return allow.size > 0 ? { allow: [...allow] } : undefined;
    },
  };
}
