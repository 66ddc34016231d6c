/** Advice on the rows of a run: what of them is cut, what is learned of their ends and of prompts, and what they are evaluated on. */
import type { SettingKey, TrainConfig } from '../config/settings.ts';
import type { Dataset } from '../data/dataset.ts';
import { counted } from '../report/format.ts';
import type { Advice } from '../train/advice.ts';

export type RowFacts = {
  readonly config: TrainConfig;
  /** Whether somebody asked for the value of a setting. */
  readonly isSet: (key: SettingKey) => boolean;
  readonly train: Dataset;
  readonly evaluation: Dataset;
};

/** Rows of which fewer are cut are the few outliers that most data has. */
const CUT_SHARE = 0.01;
/** Fewer rows are a trial: to hold some of them back would tell nothing. */
const ROWS_TO_EVALUATE = 100;
const HELD_BACK = 0.05;

export function rowAdvice(facts: RowFacts): Advice[] {
  const { config, train, evaluation } = facts;
  const sets = { train, eval: evaluation };
  return [
    ...Object.entries(sets).flatMap(([name, set]) => cutAdvice(name, set, config)),
    ...endAdvice(facts),
    ...promptAdvice(facts),
    ...evaluationAdvice(facts),
  ];
}

/** Says how many rows are cut by how much; nothing where only outliers are. */
export function cutAdvice(
  name: string,
  { truncatedRows, truncatedTokens, droppedRows, documents, wholeTokens: all, longestWhole }: Dataset,
  { max_length, packing, packing_strategy }: TrainConfig,
): Advice[] {
  const rows = documents + droppedRows;
  if (max_length === null || truncatedRows <= CUT_SHARE * rows) return [];
  const split = packing && packing_strategy === 'bfd' ? ', packing_strategy: bfd_split splits them instead' : '';
  return [
    {
      code: 'rows_cut',
      path: 'max_length',
      message:
        `${max_length} cuts ${truncatedRows.toLocaleString('en-US')} of ${counted(rows, `${name} row`)} (${percent(truncatedRows / rows)}), ` +
        `and leaves out ${truncatedTokens.toLocaleString('en-US')} of ${counted(all, 'token')} (${percent(truncatedTokens / all)}), the ends of the rows`,
      fix: `max_length: ${longestWhole} holds the longest${split}`,
    },
  ];
}

/** An EOS that is a label nowhere is never learned, and the model goes on past its answers. */
function endAdvice({ config, train, isSet }: RowFacts): Advice[] {
  const { documents, learnedEnds, maskedEnds, partlyLearned, truncatedRows, notes } = train;
  if (learnedEnds > 0) return [];
  const rows = counted(documents, 'row');
  if (maskedEnds > 0)
    return [
      {
        code: 'eos_masked',
        path: 'datasets',
        message:
          `the EOS ends ${maskedEnds.toLocaleString('en-US')} of ${rows} and is a label in none, as a collator leaves it that masks ` +
          'padding by its id where pad_token is the EOS: the model does not learn to stop',
        fix: 'give the EOS its own id as its label, or leave labels out (nibble masks padding by its place, whatever its id)',
      },
    ];
  // rows without a prompt or turns may be pieces of a longer text, and a missing name has its own note
  const isAnswer = partlyLearned > 0 || wholeChats(train) > 0;
  if (!isAnswer || notes.has('lacksEos') || (isSet('append_eos') && !config.append_eos)) return [];
  const isCut = truncatedRows >= documents;
  return [
    {
      code: 'eos_absent',
      path: 'datasets',
      message: `none of ${rows} has the EOS among its labels${isCut ? ', since all are cut' : ''}: the model does not learn to stop`,
      fix: isCut
        ? 'give a larger max_length'
        : 'end answers with it (in a chat its template does), or name what ends them as eos_token in tokenizer_config.json',
    },
  ];
}

const wholeChats = ({ notes }: Dataset): number => (notes.get('markedChat') ?? 0) + (notes.get('unmarkedChat') ?? 0);

/** QLoRA (arXiv 2305.14314, appendix B): to learn from answers alone gave better results than to learn from instructions as well. */
function promptAdvice({ config, train, isSet }: RowFacts): Advice[] {
  const chats = wholeChats(train);
  if (chats === 0 || isSet('assistant_only_loss') || config.completion_only_loss !== null) return [];
  return [
    {
      code: 'prompts_learned',
      path: 'assistant_only_loss',
      message: `${counted(chats, 'chat')} of ${counted(train.documents, 'row')} ${chats === 1 ? 'is' : 'are'} learned from as a whole, what the user says included; QLoRA's authors found answers alone to serve better`,
      fix:
        train.notes.get('markedChat') === chats
          ? 'set it to true, or to false to keep this without a word'
          : 'give a chat template with {% generation %} marks (chat_template_path) and set it to true, or give the last answer as "completion" and what is before it as "prompt"; false keeps this without a word',
    },
  ];
}

function evaluationAdvice({ config, train, evaluation }: RowFacts): Advice[] {
  const { datasets, eval_datasets } = config;
  const same = eval_datasets.find(({ path }) => datasets.some((set) => set.path === path));
  if (same !== undefined)
    return [
      {
        code: 'eval_on_train',
        path: 'eval_datasets',
        message: `${same.path} is trained on as well, so that eval_loss falls however little is learned of other rows`,
        fix: `leave it out and set val_set_size: ${HELD_BACK}`,
      },
    ];
  if (evaluation.rows.count > 0 || train.documents < ROWS_TO_EVALUATE) return [];
  return [
    {
      code: 'no_evaluation',
      path: 'val_set_size',
      message: `nothing is evaluated: the training loss alone does not tell when ${counted(train.documents, 'row')} are learned by heart`,
      fix: `${HELD_BACK} holds back ${counted(Math.round(HELD_BACK * train.documents), 'row')}, and eval_strategy: epoch evaluates after each pass`,
    },
  ];
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
