import { serve } from '../main.ts';
import { type Command, configOption, exitCodes } from './command.ts';

export const command: Command = {
  name: 'serve',
  summary: 'Starts the server and stays in the foreground.',
  details: 'SIGHUP reads the configuration again, SIGTERM and SIGINT end it once running transfers are through.',
  options: { config: configOption },
  async run(input) {
    await serve(input.text('config'), input.environment);
    return typeof process.exitCode === 'number' ? process.exitCode : exitCodes.done;
  },
};
