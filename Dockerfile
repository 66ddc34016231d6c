# nibble in a container: a GPU through Vulkan, or software where there is none. docs/container.md says how to run it.
# scripts/try-image.mjs carries out these steps without docker.

# Debian 13: its Mesa (25) is new enough for WebGPU, and its C library is newer than that of most hosts' drivers.
ARG BASE=node:22-trixie-slim

FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build
# what a fine-tune needs: neither charts, texts of the built-in suites and SwiftShader, nor drivers of other platforms
RUN npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
 && find node_modules/webgpu/dist -mindepth 1 -maxdepth 1 ! -name "linux-$(node -p process.arch)" -exec rm -r {} + \
 && find node_modules \( -name "*.map" -o -type d -empty \) -delete

FROM ${BASE}
# Mesa drives AMD's and Intel's GPUs and computes in software; the rest is what NVIDIA's driver, which comes from the host, links against
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      libvulkan1 libegl1 libglvnd0 libgl1 libglx0 libgles2 libxext6 mesa-vulkan-drivers tini \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old
WORKDIR /app
COPY --from=build /app/package.json /app/README.md /app/LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/build/nibble.wasm ./build/nibble.wasm
COPY --from=build /app/shaders ./shaders
COPY --from=build /app/schemas ./schemas
COPY --from=build /app/pages ./pages
COPY --from=build /app/bench/suites ./bench/suites
COPY --from=build /app/bench/models/tiny ./bench/models/tiny
COPY --from=build /app/dist ./dist
RUN ln -s /app/dist/cli/main.js /usr/local/bin/nibble \
 && mkdir /data /models /output /cache \
 && chown node:node /data /models /output /cache

# "graphics" is what brings the Vulkan part of NVIDIA's driver; the variable replaces the default, which lacks it
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics
ENV NODE_ENV=production XDG_CACHE_HOME=/cache HF_HOME=/cache/huggingface
# a container that is started again goes on with its run, and its log is JSON lines
ENV NIBBLE_UNATTENDED=true NIBBLE_LOG=json
USER node
WORKDIR /data
VOLUME ["/data", "/models", "/output", "/cache"]
# the first one saves a checkpoint and ends a run with exit code 75, or lets a server answer what it has begun
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "nibble"]
CMD ["train"]
