# Two stages, so that neither npm's leavings nor settings of the build are in any layer of what is shipped.
FROM node:24-bookworm-slim AS build

WORKDIR /libraries
COPY package.json package-lock.json .npmrc ./
# The secret is optional: an .npmrc for building behind a registry of one's own.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --omit=dev --ignore-scripts
# Node runs no TypeScript below node_modules, so what is there is for editors, as are source maps.
RUN find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' \) -delete \
    && find node_modules -type d -empty -delete

WORKDIR /program
COPY LICENSE package.json ./
COPY bin bin
COPY config config
COPY src src
# Readable whatever the umask of the checkout was, and writable for nobody but root.
RUN chmod -R a+rX,go-w . /libraries

FROM node:24-bookworm-slim

LABEL org.opencontainers.image.title="Larder" \
      org.opencontainers.image.description="A caching dependency proxy and pull-through mirror for every package client." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.base.name="docker.io/library/node:24-bookworm-slim"

# The allocator and the young generation are held to what bin/larder says.
ENV NODE_ENV=production \
    LARDER_CONFIG=/larder/config/container.yaml \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=131072 \
    NODE_OPTIONS=--max-semi-space-size=16

# Package managers that nobody runs here only make work for scanners. The data are the user's, all else is root's.
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* /root/.npm \
    && rm -f /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
    && ln -s /larder/bin/larder /usr/local/bin/larder \
    && install -d -o 1000 -g 1000 /data
COPY --from=build /libraries/node_modules /larder/node_modules
COPY --from=build /program /larder

WORKDIR /larder
# A number, so that an orchestrator can see that it is not root.
USER 1000:1000
VOLUME /data
EXPOSE 5273

# Address, port and TLS are those of the configuration. Patient: a machine with too much to do is not ill.
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 \
    CMD ["node", "/larder/src/cli.ts", "health"]

# Node is process 1 itself and gets the signals: SIGTERM ends it once running transfers are through, SIGHUP reads the configuration again.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/larder/src/cli.ts"]
CMD ["serve"]
