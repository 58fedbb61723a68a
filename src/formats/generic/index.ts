/** Files below an upstream URL, of no ecosystem in particular. */
import type { Body, Call, Format, Intent } from '../../core/format.ts';
import { compileGlobs } from './globs.ts';

const optionNames = ['immutable', 'mutable'];

function text(message: string, status: number): Body {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8' }, bytes: Buffer.from(`${message}\n`) };
}

function globsIn(options: Readonly<Record<string, unknown>>, name: string): (path: string) => boolean {
  const globs = options[name] ?? [];
  if (!Array.isArray(globs) || !globs.every((glob) => typeof glob === 'string')) {
    throw new Error(`${name} must be a list of path patterns, such as ['releases/**']`);
  }
  try {
    return compileGlobs(globs);
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** A path is asked about again and again unless a rule says that it never changes: upstream's word for that is not to be had. */
function configure(options: Readonly<Record<string, unknown>>): Format {
  const unknown = Object.keys(options).filter((name) => !optionNames.includes(name));
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: there are only ${optionNames.join(' and ')}`);
  const isImmutable = globsIn(options, 'immutable');
  const isMutable = globsIn(options, 'mutable');

  function readFile(call: Call): Intent {
    const path = call.params.path ?? '';
    if (path.endsWith('/')) return folder();
    return { kind: 'artifact', path, freshness: isImmutable(path) && !isMutable(path) ? 'immutable' : 'revalidate' };
  }

  return {
    id: 'generic',
    digests: [],
    auth: { from: ['basic', 'bearer'], challenge: () => 'Basic realm="Larder"' },
    routes: [
      { id: 'root', method: 'GET', path: '/', intent: folder },
      { id: 'file', method: 'GET', path: '/{path+}', intent: readFile },
    ],
    documents: [],
    problem: ({ status, message }) => text(message, status),
    configure,
  };
}

/** Listings are pages about upstream's own addresses, and nothing says which of them are to be changed. */
function folder(): Intent {
  return {
    kind: 'answer',
    body: text('This is a folder. Files are passed on, listings are not: ask for a file below it.', 404),
  };
}

export const format: Format = configure({});
