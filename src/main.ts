/** The process: read the configuration, start, signals, exit codes. */
import { createLarder, type Larder } from './app.ts';
import { ConfigError, loadConfig } from './config/load.ts';
import { needingRestart } from './config/restart.ts';
import type { Config } from './config/settings.ts';
import { publish } from './core/events.ts';
import { checkOptions } from './site.ts';
import { type Log, startLog } from './telemetry/log.ts';

/**
 * Exit codes of configuration.md: 0 done, 1 failed, 2 configuration or usage. `takeOver` is called when signals are heeded here, and says whether the
 * configuration is to be read again at once.
 */
export async function serve(
  file: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
  takeOver: () => boolean = () => false,
): Promise<void> {
  let config: Config;
  try {
    config = await loadConfig(file, env, { further: checkOptions });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
    return;
  }
  const log = startLog(config.log);
  try {
    const larder = await createLarder(config);
    const { url } = await larder.listen();
    log.logger.info({ url, config: config.file, storage: config.storage.path }, 'listening');
    log.flush();
    await untilStopped(
      larder,
      log,
      createReload(larder, config, () => loadConfig(file, env, { further: checkOptions }), log),
      takeOver,
    );
  } catch (error) {
    log.logger.fatal({ err: error }, 'Larder could not start');
    process.exitCode = 1;
  } finally {
    await log.stop();
  }
}

/** One after the other, so that what stands in the file last is in force in the end. Never rejects. */
function createReload(larder: Larder, started: Config, load: () => Promise<Config>, { logger }: Log): () => void {
  async function reload(): Promise<void> {
    try {
      const config = await load();
      await larder.reload(config);
      publish('config.reload', { outcome: 'done' });
      logger.info({ config: config.file }, 'configuration reloaded');
      for (const option of needingRestart(started, config)) {
        logger.warn({ option }, `${option} changed: takes effect after a restart`);
      }
    } catch (error) {
      publish('config.reload', { outcome: 'refused' });
      const mistakes = error instanceof ConfigError ? { mistakes: error.message.split('\n') } : { err: error };
      logger.error(mistakes, 'configuration not reloaded: the one before stays in force');
    }
  }
  let last = Promise.resolve();
  return () => {
    last = last.then(reload);
  };
}

/** The first signal ends gently, a second one at once. SIGHUP reads the configuration again; one with mistakes changes nothing. */
function untilStopped(larder: Larder, log: Log, reload: () => void, takeOver: () => boolean): Promise<void> {
  return new Promise((stopped) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(1);
      stopping = true;
      log.logger.info({ signal }, 'stopping: running transfers may finish');
      larder.close().then(stopped, (error: unknown) => {
        publish('fault', { where: 'stopping', error });
        process.exitCode = 1;
        stopped();
      });
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    process.on('SIGHUP', reload);
    if (takeOver()) reload();
  });
}
