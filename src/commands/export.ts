import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Choice, choose, everything } from '../bundles/choice.ts';
import {
  afterwards,
  type Estimate,
  estimate,
  type Left,
  type Plan,
  planExport,
  writeExport,
} from '../bundles/export.ts';
import { type InventoryLine, Known, writeInventory } from '../bundles/inventory.ts';
import type { SecretKey } from '../bundles/keys.ts';
import { inventorySuffix, knownFrom } from '../bundles/known.ts';
import { viewStore } from '../bundles/store-view.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/settings.ts';
import { formatSize, parseSize } from '../config/units.ts';
import { openSets, type SetLine } from '../store/sets.ts';
import {
  hostedRepositories,
  keyPaths,
  namedUpstreams,
  reachOf,
  secretKeyAt,
  split,
  storeOf,
  tool,
} from './bundling.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption, UsageError } from './command.ts';
import { startProgress } from './progress.ts';

const longestList = 20;
const leastPartBytes = 64 * 1024;

export const command: Command = {
  name: 'export',
  positionals: '[ORG/REPOSITORY…]',
  summary: 'Writes what is stored as one signed bundle, for a server without internet.',
  details:
    'Without --repository and --set all that was fetched is taken. --since takes a bundle that the other side has taken in, and\n--inventory what larder inventory wrote there: then only what is missing there is written. Beside FILE comes FILE.inventory,\nwhich says what the other side has afterwards; --since FILE looks for it. May run beside the server. Exits with 3 when\nsomething that was chosen could not be read.',
  options: {
    config: configOption,
    output: { type: 'string', short: 'o', value: 'FILE', description: 'Of the bundle.' },
    repository: { type: 'string', value: 'ORG/NAME', description: 'All that its upstreams gave.' },
    set: { type: 'string', value: 'NAME', description: 'What was recorded under this name.' },
    hosted: { type: 'boolean', description: 'Published packages as well.' },
    since: { type: 'string', value: 'FILE', description: 'A bundle that the other side has.' },
    inventory: { type: 'string', value: 'FILE', description: 'What the other side has.' },
    parts: { type: 'string', value: 'SIZE', description: 'Cut into FILE.001, FILE.002, … of this size.' },
    key: { type: 'string', value: 'FILE', description: 'Secret key; else the one of larder keys create.' },
    unsigned: { type: 'boolean', description: 'Without a signature.' },
    'dry-run': { type: 'boolean', description: 'Only say how much it would be.' },
    json: jsonOption,
  },
  async run(input) {
    const config = await loadConfig(input.text('config'), input.environment);
    const output = input.text('output');
    const dryRun = input.flag('dry-run');
    if (output === undefined && !dryRun) throw new UsageError('export needs a file to write: larder export -o FILE');
    const partBytes = partsOf(input);
    const secret = dryRun ? undefined : await secretOf(input, config);
    const chosen = await choiceOf(input, config);
    const base = [...split(input.texts('since')), ...split(input.texts('inventory'))];
    if (output !== undefined && base.some((file) => resolve(file) === resolve(output))) {
      throw new UsageError(`${output} would be replaced, and is what it is to be a delta of; choose another name`);
    }
    const known = new Known();
    for (const file of base) for await (const line of knownFrom(file, (id) => known.from.push(id))) known.add(line);

    const scratch = await scratchFolder(output);
    const view = await viewStore(storeOf(config)).catch(async (error: unknown) => {
      await rm(scratch, { recursive: true, force: true });
      throw error;
    });
    const progress = startProgress('Exporting');
    let plan: Plan | undefined;
    try {
      const upstreams = namedUpstreams(config);
      plan = await planExport({ view, upstreams, known, ...chosen, spool: join(scratch, 'records') });
      const expected = await estimate(plan, view);
      if (dryRun || output === undefined) return report(input, { plan, expected, left: plan.left });
      if (!input.flag('json')) input.say(planned(plan, expected));
      const id = randomUUID();
      const exported = await writeExport({
        view,
        plan,
        known,
        id,
        path: output,
        tool,
        ...(partBytes === undefined ? {} : { partBytes }),
        ...(secret ? { secret } : {}),
        onProgress: progress.show,
      });
      progress.end();
      const lines = afterwards({ plan, withdrawn: exported.withdrawn, before: linesOf(base) });
      await writeInventory(`${output}${inventorySuffix}`, lines, tool, id);
      return report(input, { ...exported, plan, expected, secret, left: [...plan.left, ...exported.left] });
    } finally {
      progress.end();
      await plan?.discard();
      await rm(scratch, { recursive: true, force: true });
      await view.close();
    }
  },
};

/** Beside what is written, where there is room. */
async function scratchFolder(output: string | undefined): Promise<string> {
  if (output === undefined) return mkdtemp(join(tmpdir(), 'larder-export-'));
  try {
    return await mkdtemp(join(dirname(output), '.larder-export-'));
  } catch (error) {
    throw new UsageError(`nothing can be written to ${dirname(output)} (${(error as { code?: string }).code})`);
  }
}

async function* linesOf(files: readonly string[]): AsyncGenerator<InventoryLine> {
  for (const file of files) yield* knownFrom(file, () => {});
}

function partsOf(input: Input): number | undefined {
  const text = input.text('parts');
  if (text === undefined) return undefined;
  const size = parseSize(text);
  if (size === undefined || size < leastPartBytes)
    throw new UsageError(`--parts ${text} is no size; write such as 4GB, and at least 64KiB`);
  return size;
}

async function secretOf(input: Input, config: Config): Promise<SecretKey | undefined> {
  const given = input.text('key');
  if (input.flag('unsigned')) {
    if (given !== undefined) throw new UsageError('--key and --unsigned say different things');
    return undefined;
  }
  const path = given ?? keyPaths(config.storage.path).secret;
  const secret = await secretKeyAt(path);
  if (secret) return secret;
  throw new UsageError(
    given === undefined
      ? 'there is no key to sign the bundle with: larder keys create makes one, --key FILE names another, --unsigned goes without'
      : `there is no ${path}`,
  );
}

async function choiceOf(
  input: Input,
  config: Config,
): Promise<{ readonly choice: Choice; readonly hosted: readonly string[] }> {
  const repositories = [...split(input.texts('repository')), ...input.positionals];
  const sets = split(input.texts('set'));
  const withHosted = input.flag('hosted');
  if (repositories.length === 0 && sets.length === 0) {
    return { choice: everything, hosted: withHosted ? hostedRepositories(config) : [] };
  }
  const lines = (await Promise.all(sets.map((name) => setOf(config, name)))).flat();
  const reached = repositories.map((id) => reachOf(config, id));
  const inSets = lines.filter(({ upstream }) => upstream === 'hosted').map(({ repository }) => repository);
  if (inSets.length > 0 && !withHosted) {
    input.warn(`larder: packages published in ${[...new Set(inSets)].join(', ')} are not taken along; --hosted does`);
  }
  const hosted = [...new Set([...reached.flatMap((one) => one.hosted), ...inSets])];
  return {
    choice: choose(
      reached.flatMap(({ sources }) => sources),
      lines,
    ),
    hosted: withHosted ? hosted : [],
  };
}

async function setOf(config: Config, name: string): Promise<readonly SetLine[]> {
  const sets = openSets(config.storage.path);
  const lines = await sets.read(name).catch((error: Error) => {
    throw new UsageError(error.message);
  });
  if (lines) return lines;
  const there = (await sets.list()).map((one) => one.name);
  throw new UsageError(`there is no set ${name}; there is ${there.join(', ') || 'none'}`);
}

function planned({ records, blobs, bytes }: Plan, { sizeBytes, durationMs }: Estimate): string {
  const seconds = Math.ceil(durationMs / 1000);
  const time = seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
  return `${records} records and ${blobs} files of ${formatSize(bytes)}: about ${formatSize(sizeBytes)} and ${time}.`;
}

interface Outcome {
  readonly plan: Plan;
  readonly expected: Estimate;
  readonly left: readonly Left[];
  readonly id?: string;
  readonly files?: readonly string[];
  readonly secret?: SecretKey | undefined;
}

function report(input: Input, { plan, expected, left, id, files, secret }: Outcome): number {
  const { records, blobs, bytes } = plan;
  if (input.flag('json')) {
    input.say(
      json({
        ...(id === undefined ? {} : { id }),
        records,
        blobs,
        bytes,
        expected,
        left,
        ...(files ? { files } : {}),
        ...(secret ? { key: secret.public.id } : {}),
      }),
    );
  } else {
    if (files)
      input.say(
        `Written: ${files.length > 3 ? `${files[0]} to ${files.at(-2)}, and ${files.at(-1)}` : files.join(', ')}.`,
      );
    else input.say(planned(plan, expected));
    for (const { what, why } of left.slice(0, longestList)) input.say(`left out  ${what}: ${why}`);
    if (left.length > longestList) input.say(`and ${left.length - longestList} more; --json lists them all`);
  }
  return left.length > 0 ? exitCodes.partly : exitCodes.done;
}
