/** The limit that a user sets on a run's memory. */
import { bytesOfSize, type TrainConfig } from '../config/index.ts';

/** Bytes that `max_gpu_memory` allows; null without that setting. */
export function allowedBytes({ max_gpu_memory: size }: Pick<TrainConfig, 'max_gpu_memory'>): number | null {
  return size === null ? null : bytesOfSize(size);
}
