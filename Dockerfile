# One image for all services; docker-compose.yml selects the service of each container.
FROM node:24-bookworm-slim AS packages
WORKDIR /opt/horcrux
COPY package.json package-lock.json .npmrc tsconfig.json ./
COPY packages/embedded-store/package.json packages/embedded-store/
# The base image contains Node, so the npm package of Node is not needed.
RUN npm ci --omit=dev --no-progress --loglevel=error && rm -rf node_modules/node node_modules/.bin/node
# The web page; its bundler is not needed afterwards.
COPY shared shared
COPY web web
RUN node web/build.ts && rm -rf node_modules/vite node_modules/rolldown node_modules/@rolldown node_modules/lightningcss*

FROM node:24-bookworm-slim
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends libvirt0 qemu-utils genisoimage openssh-client \
    qemu-block-extra ceph-common libiscsi-bin nfs-common cifs-utils \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/horcrux
COPY --from=packages /opt/horcrux/node_modules node_modules
COPY --from=packages /opt/horcrux/dist dist
COPY . .
ENV NODE_OPTIONS=--disable-warning=ExperimentalWarning UV_THREADPOOL_SIZE=32 HORCRUX_DATA=/var/lib/horcrux
RUN install -d -o node -g node -m 711 /var/lib/horcrux
USER node
CMD ["node", "services/gateway/main.ts"]
