/** Reads a configuration, checks it whole, and says everything that is wrong with it at once. */
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkFile } from './check-file.ts';
import { configFile } from './file.ts';
import { ConfigError, isWithin, type Mistake, type Path } from './mistakes.ts';
import { resolveConfig } from './resolve.ts';
import type { Config } from './schema.ts';
import { type Environment, readSource, reasonOf } from './source.ts';

export { configFile, defaultFile } from './file.ts';
export { ConfigError, type Mistake } from './mistakes.ts';

/** Throws a `ConfigError` that holds every mistake. */
export async function loadConfig(file: string | undefined, environment: Environment = process.env): Promise<Config> {
  const filePath = configFile(file, environment);
  const tree = await readSource(await read(filePath), environment);
  const checked = checkFile(tree);
  const mistakes: Mistake[] = checked.mistakes.map(bare);
  if (checked.file) {
    const resolved = await resolveConfig(checked.file, tree, { filePath, environment, formats: await formatIds() });
    // Where something was wrong already, whatever stood in for it is no further mistake.
    const further = resolved.mistakes.filter(
      ({ at }) => !checked.mistakes.some((known) => isConsequence(at, known.at)),
    );
    mistakes.push(...further.map(bare));
    if (mistakes.length === 0) return resolved.config;
  }
  throw new ConfigError(filePath, sorted(mistakes));
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
