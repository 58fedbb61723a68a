/** What was let in before a change must not be answered after it: answers that were under way while rights or settings changed. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { startHosted } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import type { Written } from '../support/larder.ts';
import { scene } from '../support/scene.ts';

const document = { name: 'lib', 'dist-tags': {}, versions: {} };

describe('an answer that was let in before a change', () => {
  it('is not remembered for those whom a new configuration lets in no more', async () => {
    const { upstream, larder } = await scene();
    const held = gate();
    upstream.at('/lib', { body: document, holdHeaders: held });
    const early = larder.npm('/lib');
    await held.reached;
    await larder.reload(({ orgs }) => {
      (orgs.public as Written['orgs'][string]).access = [{ who: ['members'], may: ['read'] }];
    });
    held.open();
    expect((await early).status).toBe(200);
    expect((await larder.npm('/lib')).status).toBe(401);
  });

  it('is not remembered of a repository that is made of something else now', async () => {
    const { upstream, larder } = await scene();
    const other = await startFakeUpstream();
    onTestFinished(() => other.close());
    const held = gate();
    upstream.at('/lib', { body: document, holdHeaders: held });
    other.at('/lib', { body: { ...document, description: 'the other' } });
    const early = larder.npm('/lib');
    await held.reached;
    await larder.reload(({ upstreams }) => {
      upstreams.inner = { ...upstreams.inner, url: other.url };
    });
    held.open();
    expect((await early).status).toBe(200);
    expect((await larder.npm('/lib')).text()).toContain('the other');
  });

  it('is not remembered for those whose rule was taken away', async () => {
    const upstream = await startFakeUpstream();
    onTestFinished(() => upstream.close());
    const server = await startHosted({
      format: 'generic',
      upstreams: { inner: { url: upstream.url } },
      repositories: { npm: { format: 'npm', sources: [{ remote: 'inner' }] } },
    });
    onTestFinished(() => server.close());
    const { administration } = server.larder.access;
    const by = { by: 'user:acme/adam' };
    const { id = '' } = await administration.addRule('acme', { who: ['everyone'], may: ['read'] }, by);
    const held = gate();
    upstream.at('/lib', { body: document, holdHeaders: held });
    const early = ask(`${server.root}/acme/npm/lib`);
    await held.reached;
    await administration.removeRule('acme', id, by);
    held.open();
    expect((await early).status).toBe(200);
    expect((await ask(`${server.root}/acme/npm/lib`)).status).toBe(401);
  });
});
