import { type Command, configOption, exitCodes } from './command.ts';

export const command: Command = {
  name: 'serve',
  summary: 'Starts the server and stays in the foreground.',
  details: 'SIGHUP reads the configuration again, SIGTERM and SIGINT end it once running transfers are through.',
  options: { config: configOption },
  async run(input) {
    const takeOver = heedSignals();
    // Loading the program takes longer than everything before it.
    const { serve } = await import('../main.ts');
    await serve(input.text('config'), input.environment, takeOver);
    return typeof process.exitCode === 'number' ? process.exitCode : exitCodes.done;
  },
};

/**
 * Signals that come before the server can heed them. systemd has a service reloaded as soon as its program was started, and SIGHUP would end it, without a
 * restart; process 1 of a container is not ended by a SIGTERM that it has no listener for. The result ends this, and says whether to read the
 * configuration again.
 */
function heedSignals(): () => boolean {
  let isReloadWanted = false;
  const reload = (): void => {
    isReloadWanted = true;
  };
  // Nothing is under way, and the store stands being killed.
  const stop = (): void => process.exit(exitCodes.done);
  process.on('SIGHUP', reload).on('SIGTERM', stop).on('SIGINT', stop);
  return () => {
    process.off('SIGHUP', reload).off('SIGTERM', stop).off('SIGINT', stop);
    return isReloadWanted;
  };
}
