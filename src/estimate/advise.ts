/** All advice on a run but that on memory, which estimateThatFits gives: from its settings, its model and its rows. */
import type { SettingKey } from '../config/settings.ts';
import { allLinears } from '../model/modules.ts';
import type { Advice } from '../train/advice.ts';
import type { RunInput } from '../train/session.ts';
import { rowAdvice } from './advise-rows.ts';
import { settingAdvice } from './advise-settings.ts';
import { baseQuantization } from './base-quantization.ts';

/** @param isSet whether somebody asked for the value of a setting */
export function advise(input: RunInput, isSet: (key: SettingKey) => boolean): Advice[] {
  const { config, model, layout, batches, train, evaluation } = input;
  return [
    ...settingAdvice({
      config,
      model,
      totalSteps: batches.totalSteps,
      isQuantized: baseQuantization(layout) !== null,
      targets: layout.lora?.layout.targets ?? null,
      linears: allLinears(model),
    }),
    ...rowAdvice({ config, isSet, train, evaluation }),
  ];
}
