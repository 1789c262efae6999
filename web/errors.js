// What the pack's nodes refuse, in the page's language, with the English sentence below it, which help pages and other people say.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

// By the English sentence, {} for what it fills in; {1} is the first of those, which may be a sentence of this list again.
const SENTENCES = {
  "zh": {
    "LEDITS++ Attention Store": "注意力记录",
    "LEDITS++ Capture Attention": "读取注意力",
    "LEDITS++ Concept": "概念",
    "LEDITS++ Edit": "编辑",
    "LEDITS++ Extract Mask": "提取遮罩",
    "LEDITS++ Fit Photo": "适配照片",
    "LEDITS++ Heatmap": "热力图",
    "LEDITS++ Invert": "反演",
    "LEDITS++ Load Inversion": "加载反演",
    "LEDITS++ Masked Guider": "遮罩引导器",
    "LEDITS++ Probe Attention": "探测注意力",
    "LEDITS++ Replay Sampler": "重放采样器",
    "LEDITS++ Save Inversion": "保存反演",
    "LEDITS++ Schedule": "调度",
    "LEDITS++ Sweep": "对比表",
    "{} (used by {})": "{1}（由“{2}”使用）",

    "is {}, but must be {}": "现在是 {1}，但必须是 {2}",
    "one of {}": "其中之一：{1}",
    "{} from {} to {}": "{2} 到 {3} 之间的{1}",
    "a whole number": "整数",
    "a number": "数值",
    "a text": "文本",
    "on or off": "开或关",
    "an entry of the list": "列表中的一项",
    "a model: connect a checkpoint loader": "模型：请连接 checkpoint 加载器",
    "a text encoder: connect the checkpoint's CLIP, or a CLIP loader": "文本编码器：请连接 checkpoint 的 CLIP，或 CLIP 加载器",
    "a VAE: connect the checkpoint's, or a VAE loader": "VAE：请连接 checkpoint 的 VAE，或 VAE 加载器",
    "a latent: connect VAE Encode, or what made the image": "latent：请连接“VAE 编码”，或生成该图像的节点",
    "a list of noise levels: connect LEDITS++ Schedule or another scheduler": "一列噪波强度：请连接“调度”或别的调度器",
    "a conditioning: connect CLIP Text Encode": "条件：请连接“CLIP 文本编码”",
    "a mask, [batch, height, width]: connect one of the image": "遮罩 [batch, height, width]：请连接该图像的遮罩",
    "images in colour, [batch, height, width, 3]: connect Load Image or VAE Decode": "彩色图像 [batch, height, width, 3]：请连接“加载图像”或“VAE 解码”",
    "an inverted image: connect LEDITS++ Invert or Load Inversion": "反演过的图像：请连接“反演”或“加载反演”",
    "concepts: connect LEDITS++ Concept": "概念：请连接“概念”节点",
    "a store: connect LEDITS++ Attention Store": "记录：请连接“注意力记录”",
    "attention maps: connect LEDITS++ Edit, Probe Attention or Capture Attention": "注意力图：请连接“编辑”、“探测注意力”或“读取注意力”",
    "not there (None)": "空的 (None)",
    "a tensor of shape {}": "形状为 {1} 的张量",
    "of the kind {}": "{1} 类型",
    "has values that are not finite (NaN or infinity): fix the node that produces them": "含有非有限的值（NaN 或无穷大）：请修正产生它们的节点",

    "is {}, which has no words: {}": "现在是 {1}，其中没有词语：{2}",
    "write what to add or remove, or take this node out of the chain": "写出要添加或去除的东西，或把这个节点从链中取出",
    "write the words of a thing in the photo, or clear it": "写出照片中一样东西的词语，或清空",
    "write the words to look for": "写出要找的词语",
    "write the prompt that was sampled": "写出采样时用的提示词",
    "is {}, of which the text encoder knows no word: write it in another language, such as English": "现在是 {1}，文本编码器一个词也不认识：请换一种语言来写，例如英语",
    "was encoded by {}: use another model": "所用的是{1}：请换一个模型",
    "a text encoder whose words cannot be found: LEDITS++ does not know it, or this version of transformers misreads its vocabulary": "找不到词语的文本编码器（LEDITS++ 不认识它，或这个版本的 transformers 读错了它的词表）",
    "names the embedding {}, which is not in ComfyUI's models/embeddings: put it there, or correct the name": "写到了 embedding {1}，但 ComfyUI 的 models/embeddings 里没有：请放进去，或改正名称",
    "is {}, but 'attention' says where already: clear this text, or disconnect 'attention'": "现在是 {1}，但 attention 已经指定了位置：请清空这段文本，或断开 attention",
    "is {}, but the concept only begins at warmup {}: raise it, or set 0 for no end": "现在是 {1}，但概念从起始步 {2} 才开始：请调大，或设为 0 表示不结束",
    "is {}, which mask_mode {} does not use: choose 'attention' or 'intersect', or clear this text": "现在是 {1}，但 mask_mode {2} 用不到它：请选 attention 或 intersect，或清空这段文本",
    "must be of one text with maps, but is of {} ({}): connect Probe Attention or Capture Attention": "必须来自一段有注意力图的文本，但现在来自 {1} 段（{2}）：请连接“探测注意力”或“读取注意力”",

    "has noise of the kind {}, but only eps-, v- and flow-prediction models can be inverted": "的噪波类型是 {1}，但只有 eps、v 和 flow 预测的模型可以反演",
    "has its noise scaled to 0, so there is none to find: raise 'noise_scale' in ModelNoiseScale": "的噪波被缩放为 0，无从反演：请调大 ModelNoiseScale 的 noise_scale",
    "has {} on it, which uses predictions again for other steps, so the photo would not stay: connect the model without it": "带有 {1}，它会把一步的预测用于别的步，照片就保不住了：请连接不带它的模型",
    "gave a prediction {} that is not finite (NaN or infinity): load it in another precision (ComfyUI's --force-fp32, --bf16-unet), or {}": "{1}给出了非有限的预测（NaN 或无穷大）：请用别的精度加载它（ComfyUI 的 --force-fp32、--bf16-unet），或{2}",
    "at step {}": "在第 {1} 步",
    "while it edited": "在编辑时",
    "take out the node that breaks it": "取出使它出错的节点",
    "lower the scale of the concepts": "调小概念的强度 (scale)",
    "is a {}, but attention can be recorded of {} only": "是 {1}，但只能记录{2}的注意力",
    "is a {}, but attention can be recorded of {} only, so {}": "是 {1}，但只能记录{2}的注意力，所以{3}",
    "UNets (SD 1.x, SD 2.x, SDXL) and ComfyUI's own image transformers (Flux, SD3, Qwen-Image, Z-Image and others)": "UNet（SD 1.x、SD 2.x、SDXL）和 ComfyUI 自带的图像 transformer（Flux、SD3、Qwen-Image、Z-Image 等）",
    "there is nothing to record": "没有可记录的",
    "there is nothing to probe": "没有可探测的",
    "{} cannot use 'where': clear it, and paint a 'mask' or choose mask_mode 'noise' or 'none'": "{1}不能用 where：请清空它，再画一个遮罩 (mask)，或把 mask_mode 设为 noise 或 none",
    "{} cannot use mask_mode {}: choose 'noise' or 'none'": "{1}不能用 mask_mode {2}：请选 noise 或 none",
    "{} was encoded by {}: choose mask_mode 'noise' or 'none'": "{1}所用的是{2}：请把 mask_mode 设为 noise 或 none",
    "concept {} ({})": "概念 {1}（{2}）",
    "'where' of {}": "{1}的 where",

    "is a video of {} frames, but LEDITS++ edits single images: encode one frame of it": "是 {1} 帧的视频，但 LEDITS++ 只编辑单幅图像：请编码其中一帧",
    "is {}, but LEDITS++ edits images, [batch, channels, height, width]: connect one, not a video or sound": "是{1}，但 LEDITS++ 编辑的是图像 [batch, channels, height, width]：请连接图像，不要连接视频或声音",
    "of shape {}": "形状 {1}",
    "has no image (shape {}): connect an encoded image": "里没有图像（形状 {1}）：请连接编码后的图像",
    "has {} channels, but this model works on {}: encode the image with the model's own VAE": "有 {1} 个通道，但此模型用 {2} 个：请用模型自己的 VAE 编码图像",
    "not finite (NaN or infinity)": "非有限（NaN 或无穷大）",
    "has values that are {}: check the image and the VAE that encoded it": "含有{1}的值：请检查图像和编码它的 VAE",
    "has a noise mask with values that are {}: check that mask": "的噪波遮罩含有{1}的值：请检查那个遮罩",
    "is empty (all zeros): connect an encoded image, not an Empty Latent Image": "是空的（全为零）：请连接编码后的图像，而不是“空 Latent”",
    "has the shape {}, but must be one list of noise levels": "的形状是 {1}，但必须是一列噪波强度",
    "begin at {}, but the noise of a flow model ends at 1: connect LEDITS++ Schedule with this model": "从 {1} 开始，但 flow 模型的噪波最大为 1：请连接用此模型的“调度”",
    "is {}, but 'sigmas' has {} steps: take less, so that the first of them begins with noise, or more steps": "现在是 {1}，但 sigmas 只有 {2} 步：请调小，使第一步仍有噪波，或增加步数",
    "{}is an empty conditioning: connect a CLIP Text Encode node": "{1}是空的条件：请连接“CLIP 文本编码”节点",
    "{}was encoded {} wide, but this model reads {}: use the text encoder of this checkpoint": "{1}编码宽度为 {2}，但此模型需要 {3}：请用这个 checkpoint 的文本编码器",
    "{}has values that are {}: {}": "{1}含有{2}的值：{3}",
    "load the text encoder in another precision, or remove a broken embedding or LoRA": "请用别的精度加载文本编码器，或去掉坏的 embedding 或 LoRA",
    "is {}, which has no effect without a prompt: connect a description of the photo to 'positive', or set cfg to 1": "现在是 {1}，没有提示词就不起作用：请把照片的描述接到 positive，或把 cfg 设为 1",

    "was made with another kind of model ({}) than is connected ({}): invert again with this model": "是用另一类模型 ({1}) 做的，与连接的模型 ({2}) 不同：请用此模型重新反演",
    "{} latent channels": "{1} 个 latent 通道",
    "flow prediction": "flow 预测",
    "eps- or v-prediction": "eps 或 v 预测",
    "{} of noise scaled by {}": "{1}，噪波缩放 {2}",
    "is {}x{} pixels, but the photo that was inverted is {}x{}: connect the image that went into VAE Encode, or leave this input unconnected": "是 {1}x{2} 像素，但反演的照片是 {3}x{4}：请连接送入“VAE 编码”的图像，或不连接这个输入",
    "has {} images, but the inversion is of {}: connect the batch that was inverted": "有 {1} 幅图像，但反演的是 {2} 幅：请连接反演的那个批次",
    "has {} images, but the attention is of {}: connect the same batch": "有 {1} 幅图像，但注意力来自 {2} 幅：请连接同一个批次",
    "the attention of {} was captured in {}, but the inversion is of {}: probe the photo that was inverted": "{1}的注意力取自 {2}，但反演的是 {3}：请探测反演的那张照片",
    "{} of {}x{} pixels": "{1} 幅 {2}x{3} 像素的图像",
    "{} of {}x{}": "{1} 幅 {2}x{3}",
    "the mask of {} is {}x{} pixels, but the image is {}x{}, of another shape: make the mask from that image, or crop it as the image was cropped": "{1}的遮罩是 {2}x{3} 像素，但图像是 {4}x{5}，形状不同：请用那幅图像做遮罩，或像图像那样裁剪它",
    "the mask of {} has {} masks for {} images: give one for all, or one for each": "{1}有 {2} 个遮罩，图像却有 {3} 幅：请给所有图像一个，或每幅一个",
    "comes with its own prompts, but another node sets others on the guider: connect them to this node instead": "自带提示词，但别的节点在引导器上设了另外的：请把它们接到这个节点",
    "needs LEDITS++ Replay Sampler, which alone knows the photo's own path: connect its sampler, or switch this off": "需要“重放采样器”，只有它知道照片自己的路径：请连接它的采样器，或关掉此项",
    "has a different inversion than the guider: connect the same one to both": "的反演与引导器的不同：请把同一个反演接到两者",
    "is {}, but the inversion is of {}: connect the latent that comes with this sampler": "是 {1}，但反演的是 {2}：请连接与此采样器配套的 latent",
    "is of another photo than the inversion: connect the latent that comes with this sampler": "是另一张照片的，不是反演的那张：请连接与此采样器配套的 latent",
    "is {}, but 'where' is looked for in the inverted photo, {}: connect the latent that was inverted": "是 {1}，但 'where' 要在反演的照片 {2} 里寻找：请连接反演的那个 latent",
    "{} x {} channels x {} x {}": "{1} x {2} 通道 x {3} x {4}",
    "are not the inversion's: connect the sigmas that come with this sampler; of a split list only the first part can be replayed": "不是反演的 sigmas：请连接与此采样器配套的；拆分的 sigmas 只能重放第一段",
    "sigmas has {} entries; at least two are needed, from the noisiest to the cleanest": "sigmas 有 {1} 项；至少要两项，从噪波最多的到最干净的",
    "sigmas must be finite and not negative": "sigmas 必须有限且不为负",
    "sigmas must fall from each step to the next, but entry {} is {} and entry {} is {}": "sigmas 必须逐步下降，但第 {1} 项是 {2}，第 {3} 项是 {4}",
    "steps is {}; at least 1 is needed": "steps 为 {1}；至少要 1",
    "skip is {}; it is a share of the noise range, 0 or more and below 1": "skip 为 {1}；它是噪波范围的比例，从 0 起，小于 1",

    "is off, and so are 'down' and 'mid': switch at least one of them on": "是关的，down 和 mid 也是：请至少打开一个",
    "is {}, but maps of this {}x{} latent can have a shorter side of {} in the layers that are on: choose that, or other layers (up, down, mid)": "现在是 {1}，但在打开的层里，这个 {2}x{3} latent 的注意力图短边可以是 {4}：请选它，或换别的层（up、down、mid）",
    "0 (automatic: {})": "0（自动：{1}）",
    "no size": "（没有可用的大小）",
    "has {}, which is not a block's number or a range of them: write them as in '8-12, 15'": "含有 {1}，它不是块的序号或范围：请写成 8-12, 15 这样",
    "has {}, but the blocks of this {} are 0 to {}": "含有 {1}，但这个 {2} 的块是 0 到 {3}",
    "mask mode {} needs the concept's attention map": "mask_mode {1} 需要概念的注意力图",
    "is a {} and has no attention maps of {} (attention of other sizes: {}; ComfyUI {}): {}": "是 {1}，没有 {2} 的注意力图（其他大小的注意力：{3}；ComfyUI {4}）：{5}",
    "has no attention maps of this run: {}": "没有这次运行的注意力图：{1}",
    "another node skipped the network's attention layers, computed them in its own way, or changed their size (a cache, token merging, tiles, prompt areas, a downscale). Take that node off this model; or let the concept begin after its steps, with 'warmup'; or make masks without attention, with mask_mode 'noise' or 'none'": "别的节点跳过了网络的注意力层、用自己的方式计算，或改变了大小（缓存、token 合并、分块、提示词区域、缩小）。请把那个节点从此模型上取下；或用 warmup 让概念在它作用的步之后开始；或不用注意力做遮罩，把 mask_mode 设为 noise 或 none",
    "has a patch of another node that turns a batch of {} rows into {}, so which attention belongs to which prompt cannot be known: remove that patch, or do not record attention with it (mask_mode 'noise' or 'none')": "带有别的节点的补丁，它把 {1} 行的批次变成 {2} 行，无法知道哪份注意力属于哪个提示词：请去掉那个补丁，或不记录注意力（mask_mode 设为 noise 或 none）",
    "has a patch that takes tokens away (NegPip) behind one that adds rows or tokens: connect the former first": "带有去掉 token 的补丁 (NegPip)，它排在增加行或 token 的补丁后面：请先连接前者",
    "has reference images (Z-Image Omni), beside which attention cannot be recorded: use mask_mode 'noise' or 'none'": "带有参考图像 (Z-Image Omni)，这时不能记录注意力：请把 mask_mode 设为 noise 或 none",
    "has regional prompts of another node in place of every prompt, so the text of a concept is never read: remove that node": "的每个提示词都被别的节点换成了区域提示词，概念的文本不会被读到：请去掉那个节点",
    "is sampled in tiles by another node, {}x{} latent pixels of {}x{} in a call, and how they lie in the image cannot be known, so no attention can be recorded: use the model without that node, or, to edit with it, probe the photo without it and connect that to the concept's 'attention', or choose mask_mode 'noise' or 'none'": "由别的节点分块采样，每次 {1}x{2} 个 latent 像素（共 {3}x{4}），无法知道各块在图像中的位置，不能记录注意力：请用不带那个节点的模型；要和它一起编辑，就不带它探测照片，再接到概念的 attention，或把 mask_mode 设为 noise 或 none",

    "was not made by a sampler that used this store's model, or its maps had to make room for later ones (a store keeps {} MB): connect the store's model to the sampler and its output here; if both are so, change its seed to run it again": "不是由用了此记录的模型的采样器生成的，或它的图已让位给后来的（记录保留 {1} MB）：请把记录的模型接到采样器，再把采样器的输出接到这里；两者都已如此时，换一个种子重新运行",
    "is {}, but nothing was recorded for it: {}": "现在是 {1}，但没有记录到它：{2}",
    "the sampler did not use it (cfg 1 has no negative prompt)": "采样器没有用它（cfg 为 1 时没有负面提示词）",
    "the run was an edit with {}: write one as 'text'": "那次运行是带 {1} 的编辑：请把其中一个写到 text",
    "no concepts": "零个概念",
    "is {}, which held {} prompts at once (regional or combined): sample with one prompt": "现在是 {1}，其中同时有 {2} 个提示词（区域或组合）：请只用一个提示词采样",
    "does not fit what was recorded ({}): write the prompt exactly as it was sampled with": "与所记录的不符（{1}）：请写出与采样时完全相同的提示词",
    "the attention has {} tokens, which is not a multiple of the prompt's {}: another node adds tokens of its own to the prompt, so its words cannot be told apart": "注意力有 {1} 个 token，不是提示词的 {2} 个的整数倍：别的节点给提示词加了自己的 token，无法区分各个词语",

    "is {}, but the attention {}": "现在是 {1}，但注意力{2}",
    "has {}, counted from 0": "有 {1} 个，从 0 数起",
    "has none: no concept was connected to the edit": "一个也没有：编辑没有连接概念",
    "is {}, which has no maps ({}): its mask_mode is noise or none, its 'attention' is connected, or it never acted (scale 0, or a warmup beyond the last step)": "现在是 {1}，它没有注意力图（{2}）：它的 mask_mode 是 noise 或 none，或连接了 attention，或从未起作用（scale 为 0，或 warmup 超过最后一步）",
    "has maps that are {}: load the model that was recorded in another precision": "的注意力图{1}：请用别的精度加载所记录的模型",
    "is {}, but the text was encoded by {}: leave it empty": "现在是 {1}，但文本用的是{2}：请留空",
    "{} is not a word of the prompt; its words are: {}": "{1} 不是提示词里的词；其中的词有：{2}",
    "{} leaves no word of the prompt; its words are: {}": "{1} 没有留下提示词的任何词；其中的词有：{2}",

    "is empty: connect LEDITS++ Concept": "是空的：请连接“概念”",
    "is {}, but the chain has {}, counted from 0": "现在是 {1}，但链中有 {2} 个，从 0 数起",
    "is {} like columns: choose another setting, or none": "现在是 {1}，与 columns 相同：请选别的设置，或 none",
    "and row_values make {} images, but a sheet has room for {}: write fewer": "与 row_values 合起来是 {1} 幅图像，但一张对比表只放得下 {2} 幅：请少写一些",
    "has {}, which is not a number: {}": "含有 {1}，它不是数值：{2}",
    "write numbers with commas between them, e.g. 3, 5, 8, or with semicolons, e.g. 0,7; 0,9": "请写数值，用逗号隔开，如 3, 5, 8，或用分号隔开，如 0,7; 0,9",
    "has no number: write the values to try, e.g. 3, 5, 8": "没有数值：请写出要试的值，如 3, 5, 8",
    "has {}, but {} must be {}{}": "含有 {1}，但 {2} 必须是 {3}{4}",
    "; for decimal commas write semicolons between the numbers, e.g. 0,7; 0,9": "；用逗号作小数点时，数值之间写分号，如 0,7; 0,9",
    "and row_values make an image with {}, in which the concept would never act: leave that pair out": "与 row_values 中有一幅图像是 {1}，概念在其中不会起作用：请去掉这一对",
    "cooldown {} and warmup {}": "cooldown {1}、warmup {2}",

    "has nothing to load: run LEDITS++ Save Inversion, refresh the list (press R) and choose its file": "没有可加载的：请运行“保存反演”，刷新列表（按 R），再选它的文件",
    "{}: refresh the list (press R) and choose again": "{1}：请刷新列表（按 R）再选",
    "{}: save it again, or copy it again": "{1}：请重新保存，或重新复制",
    "is not there any more, or is no *{} below its folder that can be read (links are not followed)": "已不存在，或不是该文件夹下可读的 *{1}（不跟随链接）",
    "is not an inversion: choose one that LEDITS++ Save Inversion wrote": "不是反演：请选“保存反演”写的文件",
    "is of format {}, but this LEDITS++ reads formats {}: update the pack, or invert again and save that": "的格式是 {1}，但这个 LEDITS++ 能读的是 {2}：请更新插件，或重新反演并保存",
    "cannot be read ({}), so it is damaged, or not an inversion": "无法读取（{1}），所以它已损坏，或不是反演",
    "has an invalid noise mask: invert again and save that": "的噪波遮罩无效：请重新反演并保存",
    "holds values in its {} that are not finite: invert again and save that": "的 {1} 含有非有限的值：请重新反演并保存",
    "would make a file that {}": "会写成一个这样的文件：{1}",
    "has conditionings of {} tensors, more than a file holds: invert with fewer or shorter prompts": "的条件有 {1} 个张量，文件放不下：请用更少或更短的提示词反演",
    "has {} in its {} ({}), which a file cannot hold: take out the node that puts it there, invert again and save that": "的{2}里有 {1}（{3}），文件放不下：请取出放入它的节点，重新反演并保存",
    "negative conditioning": "负面条件",
    "positive conditioning": "正面条件",
    "nested more than {} levels deep": "嵌套超过 {1} 层",
    "its {} GiB are more than the {} GiB that an inversion may take": "它有 {1} GiB，超过反演允许的 {2} GiB",
    "its header of {} bytes is longer than {}": "它的文件头有 {1} 字节，超过 {2}",
    "it lists more than {} tensors": "它列出的张量超过 {1} 个",
    "it holds a tensor of a dtype that is never stored": "它含有从不保存的 dtype 的张量",
    "its checksum does not match": "它的校验和不符",
    "a file of format {} has {} solver": "格式 {1} 的文件里 solver：{2}",
    "its flow or its seed is not valid": "它的 flow 或种子无效",
    "its cfg is not valid": "它的 cfg 无效",
    "its noise scale is not valid": "它的噪波缩放无效",
    "its latent does not have the image's shape": "它的 latent 与图像形状不同",
    "its conditioning is not a list": "它的条件不是列表",
    "its conditioning is not a list of encodings and options": "它的条件不是编码和选项的列表",
    "it holds tensors that belong to nothing": "它含有不属于任何部分的张量",
    "its model's fingerprint is not valid": "它的模型指纹无效",
    "its model is not named": "它没有写明模型",
    "its solver is not valid": "它的 solver 无效",
    "a part of it is not float32": "它的一部分不是 float32",
    "its images have the shape {} instead of [batch, channels, height, width]": "它的图像形状是 {1}，而不是 [batch, channels, height, width]",
    "its sigmas are not a list": "它的 sigmas 不是一列",
    "the sigmas of a flow model begin above 1": "flow 模型的 sigmas 从 1 以上开始",
    "the shapes of its parts disagree with its images and its {} sigmas": "它各部分的形状与图像和 {1} 个 sigmas 不符",
    "it refers to something that it does not hold": "它引用了自己没有的东西",
    "{} is not finite": "{1} 非有限",

    "is {}: give the beginning of a file name, such as inversions/photo, without a dot before it": "现在是 {1}：请给文件名的开头，如 inversions/photo，前面不要有点",
    "{} leads out of the output folder, or no folder can be made there: give one such as inversions/photo": "{1} 在输出文件夹之外，或无法在那里建文件夹：请写如 inversions/photo",
    "{} leads through a symbolic link, behind which the file would not be listed: give another subfolder": "{1} 经过符号链接，其后的文件不会列出：请换一个子文件夹",
    "{}: the file could not be written ({}); check the disk's space and the folder": "{1}：文件无法写入（{2}）；请检查磁盘空间和文件夹"
  }
};

function patterns(sentences) {
  const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const pattern = (sentence) => new RegExp(`^${sentence.split("{}").map(literal).join("([\\s\\S]*?)")}$`);
  // The more of a sentence is given, the surer it is meant.
  return Object.keys(sentences)
    .sort((a, b) => b.replaceAll("{}", "").length - a.replaceAll("{}", "").length)
    .map((sentence) => [pattern(sentence), sentences[sentence]]);
}

function translated(text, known) {
  for (const [pattern, sentence] of known) {
    const found = text.trim().match(pattern);
    if (found) return sentence.replace(/\{(\d)\}/g, (_, number) => translated(found[number], known));
  }
  return text;
}

const MESSAGE = /^(?:(LEDITS\+\+.*?), input )?'(\w+)':? ([\s\S]+)$/;

// The message of an error in the page's language, and below it as it was; null where that language has none for it.
export function translate(message, locale) {
  const found = SENTENCES[locale] && message.match(MESSAGE);
  if (!found) return null;
  const [, node, input, problem] = found;
  const known = patterns(SENTENCES[locale]);
  const said = translated(problem, known);
  if (said === problem) return null;
  return `${node ? `${translated(node, known)}，` : ""}输入“${input}”：${said}\n${message}`;
}

const inPage = (message) => translate(message, app.extensionManager.setting.get("Comfy.Locale")) ?? message;

// The page says only that something was wrong, and has the sentence behind a button. So the node says it, too, until the next run.
let takeBack = [];

function sayOn(id, message) {
  const path = `${id}`.split(":");
  const node = app.canvas.graph.getNodeById(app.canvas.graph === app.rootGraph ? path[0] : path.at(-1));
  if (!node) return;
  const before = new Map((node.widgets ?? []).map((widget) => [widget, widget.value]));
  api.dispatchCustomEvent("progress_text", { nodeId: `${node.id}`, text: message });
  const widget = node.widgets?.find((widget) => widget.value === message);
  if (!widget) return;
  takeBack.push(() => {
    if (before.has(widget)) {
      widget.value = before.get(widget);
    } else {
      widget.onRemove?.();
      node.widgets = node.widgets.filter((other) => other !== widget);
    }
  });
}

// What stopped a run.
api.addEventListener("execution_error", ({ detail }) => {
  if (!detail.exception_message?.startsWith("LEDITS++ ")) return;
  detail.exception_message = inPage(detail.exception_message.trim());
  sayOn(detail.node_id, detail.exception_message);
});

// What was wrong before it: the page has the answer once it no longer queues.
api.addEventListener("promptQueueing", async () => {
  for (const undo of takeBack) undo();
  takeBack = [];
  do await new Promise(requestAnimationFrame);
  while (app.processingQueue);
  for (const [id, { class_type, errors }] of Object.entries(app.lastNodeErrors ?? {})) {
    if (!class_type.startsWith("LEDITS_")) continue;
    for (const error of errors) error.details = inPage(error.details.replace(/^\w+ - (?=')/, ""));
    sayOn(id, errors[0].details);
  }
});
