/** torch.amp.GradScaler's rule: the scale before each of these steps, and after the last. */
export type GradScalerRef = { init: number; growthFactor: number; backoffFactor: number; growthInterval: number };

export function gradScalerRef(overflows: readonly boolean[], o: GradScalerRef): number[] {
  const scales = [o.init];
  let clean = 0;
  for (const overflow of overflows) {
    let scale = scales.at(-1) as number;
    clean = overflow ? 0 : clean + 1;
    if (overflow) scale *= o.backoffFactor;
    else if (clean === o.growthInterval) {
      // one that no f32 holds is not taken
      if (Number.isFinite(Math.fround(scale * o.growthFactor))) scale *= o.growthFactor;
      clean = 0;
    }
    scales.push(scale);
  }
  return scales;
}
