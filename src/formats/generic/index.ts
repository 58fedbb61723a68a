/** Files by their path, of no ecosystem in particular: below an upstream's URL, or put here. */
import type { Body, Call, Format, Intent } from '../../core/format.ts';
import { documentPathOf, folder, variantFor } from './folder.ts';
import { compileGlobs } from './globs.ts';
import { deleteFile, putFile } from './publish.ts';
import { warm } from './warm.ts';

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
    if (path === '' || path.endsWith('/')) return readFolder(call, path.slice(0, -1));
    // The path is the name: claims and rules about names hold for paths.
    return {
      kind: 'artifact',
      path,
      name: path,
      freshness: isImmutable(path) && !isMutable(path) ? 'immutable' : 'revalidate',
    };
  }

  return {
    id: 'generic',
    digests: [],
    auth: { from: ['basic', 'bearer'], challenge: () => 'Basic realm="Larder"' },
    routes: [
      { id: 'root', method: 'GET', path: '/', intent: readFile },
      { id: 'file', method: 'GET', path: '/{path+}', intent: readFile },
      { id: 'put', method: 'PUT', path: '/{path+}', intent: (call) => putFile(call, { isMutable }) },
      { id: 'delete', method: 'DELETE', path: '/{path+}', intent: deleteFile },
    ],
    documents: [folder],
    warm,
    // wget shows the status line, and of the body nothing unless it is asked to.
    problem: ({ status, message }) => ({ ...text(message, status), reason: message }),
    configure,
  };
}

function readFolder(call: Call, path: string): Intent {
  return {
    kind: 'document',
    type: folder,
    path: documentPathOf(path),
    variant: variantFor(call.headers.accept),
  };
}

export const format: Format = configure({});
