// The interface in English and Chinese. Every text of the page is here.
import { $ } from "./dom.js";

export const TEXTS = {
  en: {
    skip: "Skip to the message box", newChat: "New chat", search: "Search conversations", conversations: "Conversations",
    theme: "Light or dark", language: "切换到中文", shortcuts: "Keyboard shortcuts", model: "Model", settings: "Settings",
    conversation: "Conversation", ask: "Ask anything", attach: "Attach a text or PDF file", think: "Think",
    budget: "Budget", unlimited: "no limit", answerNow: "Answer now", stop: "Stop", send: "Send", system: "System prompt",
    sampling: "Sampling", samplingNote: "Empty fields take the model's own values.", close: "Close",
    openList: "Show the conversations", closeList: "Hide the conversations", context: "Context used",
    thinking: "Thinking", thought: "Thought", tokens: "tokens", copy: "Copy", copied: "Copied", edit: "Edit",
    regenerate: "Regenerate", rename: "Rename", remove: "Delete", cancel: "Cancel", save: "Save",
    removeAsk: "Delete this conversation for good?", stopped: "Stopped.", untitled: "Untitled",
    previous: "Previous version", next: "Next version", cached: "from cache", perSecond: "tokens/s",
    firstToken: (seconds) => `${seconds} s to the first token`, empty: "What would you like to know?", failed: "That did not work",
    key: "API key", keyAsk: "This server asks for an API key.", handovers: { budget: "thoughts reached the budget", max_tokens: "thoughts ended for the token limit", eos: "thoughts ended early",
      loop: "thoughts went in a circle", answer_now: "you asked for the answer" }, length: "cut at the token limit",
    thoughts: "Thoughts", picture: "Picture", tools: "Tools", useTools: "The model may use these",
    background: "Go on answering when this page is closed", export: "Export",
    exportAll: "All chats", importFiles: "Import", imported: "conversations imported",
    states: { waiting: "waiting for you", running: "running", done: "done", failed: "failed", denied: "not allowed" },
    approvalAsk: "May this run?", once: "Allow once", always: "Always allow", deny: "Deny",
    noThinking: "This model does not think.", alwaysThinks: "This model always thinks.",
    lost: "The connection was lost. What was said is kept.", reading: "Reading", readingPrompt: (read, all) => `Reading the prompt: ${read} of ${all} tokens`, done: "Answer finished.",
    keys: [["Enter", "send"], ["Shift Enter", "new line"], ["Ctrl K", "new chat"], ["Esc", "stop"], ["Ctrl .", "answer now"],
      ["Ctrl /", "think on or off"], ["Ctrl Shift F", "search"], ["Ctrl ,", "settings"], ["↑ in an empty box", "edit your last message"]],
  },
  zh: {
    skip: "跳到输入框", newChat: "新对话", search: "搜索对话", conversations: "对话列表",
    theme: "浅色或深色", language: "Switch to English", shortcuts: "键盘快捷键", model: "模型", settings: "设置",
    conversation: "对话", ask: "想问什么都可以", attach: "添加文本或 PDF 文件", think: "思考",
    budget: "预算", unlimited: "不限", answerNow: "立即回答", stop: "停止", send: "发送", system: "系统提示",
    sampling: "采样", samplingNote: "留空则使用模型自己的值。", close: "关闭",
    openList: "显示对话列表", closeList: "隐藏对话列表", context: "已用上下文",
    thinking: "思考中", thought: "思考了", tokens: "个词元", copy: "复制", copied: "已复制", edit: "编辑",
    regenerate: "重新生成", rename: "重命名", remove: "删除", cancel: "取消", save: "保存",
    removeAsk: "确定要永久删除这个对话吗？", stopped: "已停止。", untitled: "未命名",
    previous: "上一版本", next: "下一版本", cached: "来自缓存", perSecond: "词元/秒",
    firstToken: (seconds) => `首个词元 ${seconds} 秒`, empty: "你想知道什么？", failed: "出错了",
    key: "API 密钥", keyAsk: "这个服务器需要 API 密钥。", handovers: { budget: "思考达到预算", max_tokens: "思考达到词元上限", eos: "思考提前结束", loop: "思考陷入循环", answer_now: "你要求立即回答" }, length: "达到词元上限",
    thoughts: "思考内容", picture: "图片", tools: "工具", useTools: "模型可以使用这些工具",
    background: "关闭页面后继续回答", export: "导出", exportAll: "全部对话", importFiles: "导入", imported: "个对话已导入",
    states: { waiting: "等待你的许可", running: "运行中", done: "完成", failed: "失败", denied: "未获许可" },
    approvalAsk: "允许运行吗？", once: "允许一次", always: "始终允许", deny: "拒绝",
    noThinking: "这个模型不会思考。", alwaysThinks: "这个模型总是思考。",
    lost: "连接中断，已生成的内容已保存。", reading: "读取中", readingPrompt: (read, all) => `正在读取提示：${read} / ${all} 个词元`, done: "回答完毕。",
    keys: [["Enter", "发送"], ["Shift Enter", "换行"], ["Ctrl K", "新对话"], ["Esc", "停止"], ["Ctrl .", "立即回答"],
      ["Ctrl /", "开关思考"], ["Ctrl Shift F", "搜索"], ["Ctrl ,", "设置"], ["空输入框中按 ↑", "编辑上一条消息"]],
  },
};

let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
export const t = (key) => TEXTS[language][key];
export const number = (n) => n.toLocaleString(language);

export function apply() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of document.querySelectorAll("[data-i18n-label]")) {
    node.setAttribute("aria-label", t(node.dataset.i18nLabel));
    node.title = t(node.dataset.i18nLabel);
  }
  for (const node of document.querySelectorAll("[data-i18n-placeholder]")) node.placeholder = t(node.dataset.i18nPlaceholder);
}

export function toggle() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
  apply();
}
