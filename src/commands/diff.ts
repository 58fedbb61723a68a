import { type Difference, differences, type Side, sideOf } from '../bundles/diff.ts';
import { inventoryOf } from '../bundles/inventory.ts';
import { knownFrom } from '../bundles/known.ts';
import { viewStore } from '../bundles/store-view.ts';
import { loadConfig } from '../config/load.ts';
import { formatSize } from '../config/units.ts';
import { hostedRepositories, namedUpstreams, storeOf } from './bundling.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption, UsageError } from './command.ts';

export const command: Command = {
  name: 'diff',
  positionals: 'A [B]',
  summary: 'Says what one bundle, inventory or server has and the other lacks.',
  details:
    'A and B are bundles, files of larder inventory, or configuration files (.yaml) of servers whose data is here. Without B it is\nthe server of --config. Lines with - are only in A, those with + only in B, those with ~ have other bytes in B.',
  options: { config: configOption, json: jsonOption },
  async run(input) {
    const [a, b, ...more] = input.positionals;
    if (a === undefined || more.length > 0) throw new UsageError('diff needs two sides: larder diff A B');
    const one = await sideAt(a, input);
    const other = b === undefined ? await serverSide(input.text('config'), input) : await sideAt(b, input);
    const found = differences(one, other);
    if (input.flag('json')) input.say(json(found));
    else tell(found, input.say);
    return exitCodes.done;
  },
};

async function sideAt(path: string, input: Input): Promise<Side> {
  return /\.ya?ml$/.test(path) ? serverSide(path, input) : sideOf(knownFrom(path, () => {}));
}

async function serverSide(file: string | undefined, input: Input): Promise<Side> {
  const config = await loadConfig(file, input.environment);
  const view = await viewStore(storeOf(config));
  try {
    return await sideOf(inventoryOf({ view, upstreams: namedUpstreams(config), hosted: hostedRepositories(config) }));
  } finally {
    await view.close();
  }
}

const marks = { 'only-a': '-', 'only-b': '+', changed: '~' } as const;

function tell(found: readonly Difference[], say: (text: string) => void): void {
  for (const { is, upstream, path, document, size, changes } of found) {
    const much = changes === undefined ? formatSize(size ?? 0) : `${changes} changes`;
    say(`${marks[is]} ${upstream}  ${path}${document === undefined ? '' : ` (${document})`}  ${much}`);
  }
  const of = (is: Difference['is']): string => {
    const some = found.filter((one) => one.is === is);
    return `${some.length}, ${formatSize(some.reduce((sum, { size = 0 }) => sum + size, 0))}`;
  };
  say(`Only in A: ${of('only-a')}. Only in B: ${of('only-b')}. Other bytes: ${of('changed')}.`);
}
