/** Checks a device profile that a program gives: the plan recorded against it is only as right as its numbers. */
import { z } from 'zod';
import { typeProblems } from '../config/describe.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import type { DeviceProfile, TunedTiles } from '../gpu/device-profile.ts';
import { isMatrixKind, MATRIX_FIELDS, SIMT_FIELDS, TILE_KINDS, type TileKind, tileProblem } from '../gpu/tiles.ts';

const count = z.int().min(1);
const counts = <Name extends string>(names: readonly Name[]) =>
  z.strictObject(Object.fromEntries(names.map((name) => [name, count])) as Record<Name, typeof count>);

const tileType = (kind: TileKind) => (isMatrixKind(kind) ? counts(MATRIX_FIELDS) : counts(SIMT_FIELDS)).optional();

const profileType = z.strictObject({
  name: z.string().min(1),
  software: z.boolean(),
  limits: counts([
    'maxBufferSize',
    'maxStorageBufferBindingSize',
    'maxComputeWorkgroupsPerDimension',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupStorageSize',
    'maxStorageBuffersPerShaderStage',
  ]),
  shaderF16: z.boolean(),
  timestampQuery: z.boolean(),
  subgroups: z.boolean().optional(),
  subgroupMatrix: z
    .strictObject({
      M: count,
      N: count,
      K: count,
      subgroupSize: count,
      sized: z.boolean(),
      turned: z.boolean().optional(),
    })
    .nullable(),
  tier: z.enum(['direct', 'simt', 'subgroup_matrix']),
  tiles: z.strictObject(Object.fromEntries(TILE_KINDS.map((kind) => [kind, tileType(kind)]))).optional(),
  workgroupSize: count,
});

/** Returns the profile. @throws ConfigError with every field at `path` that is missing, unknown or contradicts another */
export function checkedProfile(profile: unknown, path: string): DeviceProfile {
  const wrong = typeProblems(profileType, profile, path, () => 'options');
  const problems = wrong.length > 0 ? wrong : contradictions(profile as DeviceProfile, path);
  if (problems.length > 0) throw new ConfigError(problems);
  return profile as DeviceProfile;
}

function contradictions(profile: DeviceProfile, path: string): ConfigProblem[] {
  const { limits, tier, subgroupMatrix, workgroupSize, tiles = {} } = profile;
  const problems: ConfigProblem[] = [];
  const report = (key: string, message: string) =>
    problems.push({ path: `${path}.${key}`, message: `${message} (options)` });
  if (tier === 'subgroup_matrix' && subgroupMatrix === null)
    report('tier', 'got "subgroup_matrix", and subgroupMatrix is null; give its sizes, or another tier');
  const most = limits.maxComputeInvocationsPerWorkgroup;
  if (workgroupSize > most)
    report('workgroupSize', `got ${workgroupSize}, wanted at most limits.maxComputeInvocationsPerWorkgroup, ${most}`);
  if (limits.maxStorageBufferBindingSize > limits.maxBufferSize)
    report('limits.maxStorageBufferBindingSize', `is above maxBufferSize, ${limits.maxBufferSize}`);
  for (const kind of TILE_KINDS) {
    const tile = tiles[kind];
    const why = tile === undefined ? null : tileProblem(profile, kind, tile as NonNullable<TunedTiles[TileKind]>);
    if (why !== null) report(`tiles.${kind}`, `cannot be used: ${why}`);
  }
  return problems;
}
