/** The process: read the configuration, start, signals, exit codes. */
import { parseArgs } from 'node:util';
import { createLarder, type Larder } from './app.ts';
import { ConfigError, loadConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { publish } from './core/events.ts';
import { startLog } from './telemetry/log.ts';

/** Exit codes of configuration.md: 0 done, 1 failed, 2 configuration or usage. */
export async function serve(file: string | undefined, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  let config: Config;
  try {
    config = await loadConfig(file, env);
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
    await untilStopped(larder, file, env, log);
  } catch (error) {
    log.logger.fatal({ err: error }, 'Larder could not start');
    process.exitCode = 1;
  } finally {
    await log.stop();
  }
}

/** The first signal ends gently, a second one at once. SIGHUP reads the configuration again; one with mistakes changes nothing. */
function untilStopped(
  larder: Larder,
  file: string | undefined,
  env: NodeJS.ProcessEnv,
  log: ReturnType<typeof startLog>,
): Promise<void> {
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
    process.on('SIGHUP', () => {
      loadConfig(file, env)
        .then((config) => larder.reload(config))
        .then(
          () => log.logger.info('configuration reloaded'),
          (error: unknown) =>
            log.logger.error({ err: error }, 'configuration not reloaded: the one before stays in force'),
        );
    });
  });
}

const usage = 'usage: npm start -- [--config FILE]   (every other command: npm run larder -- help)\n';

/** Anything else than a configuration must not start a server by mistake. */
async function main(): Promise<void> {
  const options = { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;
  try {
    const { values } = parseArgs({ options });
    if (values.help) process.stdout.write(usage);
    else await serve(values.config);
  } catch (error) {
    if (!(error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) throw error;
    process.stderr.write(`${(error as Error).message.split('\n')[0]}\n${usage}`);
    process.exitCode = 2;
  }
}

if (import.meta.main) await main();
