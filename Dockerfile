FROM node:24-bookworm-slim

LABEL org.opencontainers.image.title="Larder" \
      org.opencontainers.image.description="A caching dependency proxy and pull-through mirror for every package client." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

ENV NODE_ENV=production \
    LARDER_CONFIG=/larder/config/container.yaml

WORKDIR /larder

# The secret is optional: an .npmrc for building behind a registry of one's own. It is in no layer.
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    npm ci --omit=dev --ignore-scripts --cache=/tmp/npm && rm -rf /tmp/*

COPY LICENSE ./
COPY bin bin
COPY config config
COPY src src

# The program stays root's and readable whatever the umask of the checkout was; the data are the user's.
RUN chmod -R a+rX bin config src && install -d -o 1000 -g 1000 /data
# A number, so that an orchestrator can see that it is not root.
USER 1000:1000
VOLUME /data
EXPOSE 5273

HEALTHCHECK --interval=15s --timeout=4s --start-period=5s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:5273/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

CMD ["node", "src/main.ts"]
