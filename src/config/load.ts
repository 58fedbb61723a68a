/** Reads a configuration, checks it whole, and says everything that is wrong with it at once. */
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkFile } from './check-file.ts';
import { configFile } from './file.ts';
import { ConfigError, isWithin, type Mistake, type Path, type PlacedMistake, printPath } from './mistakes.ts';
import { resolveConfig } from './resolve.ts';
import type { Config } from './settings.ts';
import { type Environment, readSource, reasonOf } from './source.ts';

export { configFile, defaultFile } from './file.ts';
export { ConfigError, type Mistake } from './mistakes.ts';

export interface LoadOptions {
  /** What is wrong although the schema has nothing against it: a format's own settings. */
  readonly further?: (config: Config) => Promise<readonly { readonly at: Path; readonly message: string }[]>;
  /** For looking at a file elsewhere than where it is used: what refers to something that is not here is not checked, and noted. */
  readonly withoutSecrets?: boolean;
}

/** Throws a `ConfigError` that holds every mistake. */
export async function loadConfig(
  file: string | undefined,
  environment: Environment = process.env,
  { further, withoutSecrets = false }: LoadOptions = {},
): Promise<Config> {
  const filePath = configFile(file, environment);
  const tree = await readSource(await read(filePath), environment);
  const checked = checkFile(tree);
  const mistakes: PlacedMistake[] = [...checked.mistakes];
  const reported = (): Mistake[] =>
    mistakes.filter(({ missing }) => !withoutSecrets || missing === undefined).map(bare);
  if (checked.file) {
    const resolved = await resolveConfig(checked.file, tree, { filePath, environment, formats: await formatIds() });
    // Where something was wrong already, whatever stood in for it is no further mistake.
    const own = (await further?.(resolved.config)) ?? [];
    const later = [
      ...resolved.mistakes,
      ...own.map(({ at, message }) => ({ path: printPath(at), at, message, ...tree.place(at) })),
    ];
    const isKnown = (at: Path): boolean =>
      checked.mistakes.some(
        (known) => isConsequence(at, known.at) || (known.missing !== undefined && isWithin(known.at, at)),
      );
    mistakes.push(...later.filter(({ at }) => !isKnown(at)));
    if (reported().length === 0) {
      const unseen = mistakes.map(({ path, missing }) => `${path}: not checked, because ${missing} is not here`);
      return { ...resolved.config, notes: [...resolved.config.notes, ...unseen] };
    }
  }
  throw new ConfigError(filePath, sorted(reported()));
}

/** `upstreams.x` is without a URL because `upstreams.x.url` was wrong. */
function isConsequence(at: Path, known: Path): boolean {
  return isWithin(at, known) || (isWithin(known, at) && known.at(-1) === 'url');
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError(file, [{ path: '', message: `cannot be read: ${reasonOf(error)}` }]);
  }
}

function bare({ path, message, line, column }: Mistake): Mistake {
  return { path, message, ...(line !== undefined && { line }), ...(column !== undefined && { column }) };
}

function sorted(mistakes: readonly Mistake[]): Mistake[] {
  const unique = new Map(mistakes.map((mistake) => [`${mistake.path}\n${mistake.message}`, mistake]));
  return [...unique.values()].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

/** A format is a folder with an index. */
async function formatIds(): Promise<string[]> {
  const folder = fileURLToPath(new URL('../formats', import.meta.url));
  const entries = await readdir(folder, { withFileTypes: true });
  const ids = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory())
      .map(async ({ name }) => {
        const there = await access(join(folder, name, 'index.ts')).then(
          () => true,
          () => false,
        );
        return there ? [name] : [];
      }),
  );
  return ids.flat().sort();
}
