import { inventoryOf, writeInventory } from '../bundles/inventory.ts';
import { viewStore } from '../bundles/store-view.ts';
import { loadConfig } from '../config/load.ts';
import { hostedRepositories, namedUpstreams, storeOf, tool } from './bundling.ts';
import { type Command, configOption, exitCodes, json, jsonOption, UsageError } from './command.ts';

export const command: Command = {
  name: 'inventory',
  summary: 'Writes down what is stored, so that another server exports only what is missing here.',
  details: 'Bring the file to the connected side: larder export --inventory FILE. May run beside the server.',
  options: {
    config: configOption,
    output: { type: 'string', short: 'o', value: 'FILE', description: 'Where to.' },
    json: jsonOption,
  },
  async run(input) {
    const output = input.text('output');
    if (output === undefined) throw new UsageError('inventory needs a file to write: larder inventory -o FILE');
    const config = await loadConfig(input.text('config'), input.environment);
    const view = await viewStore(storeOf(config));
    try {
      const lines = inventoryOf({ view, upstreams: namedUpstreams(config), hosted: hostedRepositories(config) });
      const count = await writeInventory(output, lines, tool);
      if (input.flag('json')) input.say(json({ file: output, lines: count }));
      else input.say(`${output} lists ${count} things.`);
      return exitCodes.done;
    } finally {
      await view.close();
    }
  },
};
