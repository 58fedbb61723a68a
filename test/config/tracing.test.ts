/** Where traces go: the file says whether, the environment may say where. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { temporaryFolder } from '../support/folder.ts';

async function load(file: unknown, environment: Readonly<Record<string, string>> = {}) {
  const folder = await temporaryFolder('larder-tracing');
  onTestFinished(() => folder.remove());
  const path = join(folder.path, 'larder.yaml');
  await writeFile(path, JSON.stringify(file));
  return loadConfig(path, environment);
}

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SERVICE_NAME: 'cache' };
const usual = { serviceName: 'larder', sample: 1, headers: {} };

describe('traces', () => {
  it.each([
    ['are not sent unless the file says so, whatever the environment says', {}, endpoint, undefined],
    ['go to an address', { tracing: 'http://c:4318' }, {}, { ...usual, url: 'http://c:4318/v1/traces' }],
    ['go to an address with a path', { tracing: 'http://c/otlp/' }, {}, { ...usual, url: 'http://c/otlp/v1/traces' }],
    ['go to a whole address', { tracing: 'http://c/v1/traces' }, {}, { ...usual, url: 'http://c/v1/traces' }],
    [
      'go where the environment says, once they are on',
      { tracing: {} },
      endpoint,
      { ...usual, url: 'http://collector:4318/v1/traces', serviceName: 'cache' },
    ],
    [
      'go to the address for traces alone, as it is',
      { tracing: {} },
      { ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces/in' },
      { ...usual, url: 'http://traces/in', serviceName: 'cache' },
    ],
    [
      'take what the file says before the environment',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: A reference to the environment.
      { tracing: { endpoint: 'http://c:1', sample: '0.25', headers: { 'x-key': '${KEY}' }, serviceName: 'eu' } },
      { ...endpoint, KEY: 'open' },
      { url: 'http://c:1/v1/traces', serviceName: 'eu', sample: 0.25, headers: { 'x-key': 'open' } },
    ],
  ])('%s', async (_, file, environment, tracing) => {
    expect((await load(file, environment as Record<string, string>)).tracing).toEqual(tracing);
  });

  it.each([
    ['no address at all', { tracing: {} }, /tracing: needs an endpoint/],
    ['no URL', { tracing: 'collector:4318' }, /tracing: "collector:4318" is no http or https URL/],
    ['credentials in it', { tracing: { endpoint: 'http://a:b@c' } }, /tracing\.endpoint: has credentials in it/],
    [
      'more than all',
      { tracing: { endpoint: 'http://c', sample: 2 } },
      /tracing\.sample: "2" is not a number from 0 to 1/,
    ],
    ['a header on two lines', { tracing: { endpoint: 'http://c', headers: { a: 'b\nc' } } }, /is no header/],
    ['something unknown', { tracing: { endpoint: 'http://c', rate: 1 } }, /tracing\.rate/],
  ])('%s is a mistake', async (_, file, message) => {
    await expect(load(file)).rejects.toThrow(message);
  });

  it('are told of at addresses that the file names, not at well-known ones, whoever names them, unless it says so', async () => {
    const { upstreams } = await load({
      upstreams: {
        own: { url: 'https://own.example.com' },
        npmjs: { url: 'https://mirror.example.com' },
        'maven-central': {},
        pypi: { traceContext: 'all' },
        quiet: { url: 'https://quiet.example.com', traceContext: 'nothing' },
        hub: { url: 'https://registry-1.docker.io', format: 'oci' },
      },
    });
    const told = Object.entries(upstreams).map(([name, { traceContext }]) => [name, traceContext]);
    expect(Object.fromEntries(told)).toEqual({
      own: 'traceparent',
      npmjs: 'traceparent',
      'maven-central': 'nothing',
      pypi: 'all',
      quiet: 'nothing',
      hub: 'nothing',
    });
  });
});
