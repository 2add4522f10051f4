"""What adverts and begging sound like: cues with points, by kind and language.

Of each kind the dearest cue counts once, so saying a thing ten times weighs no more than saying it. No single common
word reaches a usual threshold (3): an advert is an *ask* together with *whose* and *where*. A kind marked
`anchor` must be there for the others to count at all, which keeps the usual message at one automaton pass.
Phrases are folded like the texts; a `*` at an end drops the word boundary there.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class CueKind:
    """Cues of one meaning. `points` go to the score `begging` or, without that, `advert`, once a text."""

    name: str
    points: int
    phrases: str
    """One phrase a line or separated by `;`."""
    anchor: bool = False
    begging: bool = False
    both: bool = False
    """The points go to both scores."""


BUILTIN: tuple[CueKind, ...] = (
    # Self-promotion: ask + whose + where.
    CueKind("promote", 3, """
        follow me; folow me; follow back; follow for follow; f4f; follow 4 follow; sub for sub; sub 4 sub; sub4sub
        s4s; subs for subs
        subscribe to me; subscribe me; subscribe to my*; sub to me; sub to my; follow my channel; follow my twitch
        follow my insta; follow my instagram; follow my tiktok; follow my twitter; check out my; check out this
        check us out; checkout my; check my channel
        check out our; check my stream; check my profile; my channel out; my stream out; visit my; join my
        come to my stream; come watch me
        watch my stream; watch my channel; watch my video; watch my clip; watch my content
        check my content; go to my channel; go to my profile; i am live now; im live now
        i just went live; im streaming now; my stream is live
        self promo; self promote; self promoting; support my channel; support me on
        help me grow; help me reach; help me get to; road to affiliate; just got affiliated; away from affiliate
        got affiliated; link in bio; link in my bio; link in description
        like my page; my new video; my new song; my soundcloud; my mixtape; listen to my; my twitch is; my insta is
        my youtube is; my youtube channel
        подпишись; подпишитесь; подписывайтесь; подписывайся; мой канал; моем канале; моём канале; мой стрим
        наш канал; нашем канале; взаимная подписка; взаимку
        folgt mir; folg mir; abonniert mich; abonniert meinen; mein kanal; meinen kanal; meinem kanal
        schaut bei mir; kommt in meinen stream; abo gegen abo
        sigueme; sígueme; siganme; síganme; suscribete; suscríbete; mi canal; pasense por mi; se inscreve
        inscreva se; meu canal; me segue; me sigam; segue la
        abonne toi; abonnez vous; ma chaine; ma chaîne; suivez moi; takip edin; kanalima; kanalıma; abone olun
        obserwujcie; moj kanal; mój kanał
        关注我; 關注我; 求关注; 来我直播间; 我的直播间; 我的频道; 我的頻道; チャンネル登録; 구독해주세요; 내 채널
        제 채널; 맞팔
        """, anchor=True),
    CueKind("ask", 1, """
        go follow; pls follow; please follow; follow; folow; followed; subscribe; subscribing
        check out; checkout; check it out; react to; gonna stream; streaming; streamin; live now; come watch
        like and share; support; take a look; shoutout; shout out; подпис*; abonniert; suscrib*; inscrev*
        """, anchor=True),
    CueKind("come", 1, """
        watch; watching; go watch; visit; join; joinen; go to; come to; click; share; vote; listen; please come
        besucht; entra; entrar; rejoins; вступай; вступайте; заходи; заходите; переходи; переходите; жми
        """),
    CueKind("whose", 1, """
        my; me; mine; our; мой; мою; мне; меня; моем; наш; нас; mein; meinen; meine; mi; meu; minha; mon; ma; 我; 我的
        """),
    CueKind("where", 1, """
        channel; chanel; chan; channels; kanal; stream; live stream; onlyfans; twitch; youtube; yt; insta; instagram
        ig; tiktok; tik tok; facebook; fb; onlyfans; soundcloud
        spotify; snap; snapchat; discord; discord server; telegram; whatsapp; website; page; profile; server; video
        videos; twitter; patreon; steam; edit; content; clips; clip; mixtape; instagram bio; bio; rumble
        kick
        канал; канале; группа; группу; группе; чат; сайт; ссылка; ссылке; ссылку; бот; телеграм; телеграмм; тг
        直播间; 频道; 群
        """),
    CueKind("growth", 2, """
        20 followers; 30 followers; 40 followers; 50 followers; 80 followers; 90 followers; 100 followers
        200 followers; 500 followers; 1k followers; 1000 followers
        followers; followerz; small streamer; new streamer; small youtuber; subscribers; subs; viewers; views; likes
        affiliate; followback; 100 subs; 1k subs; подписчиков; подписчики; просмотров; seguidores; suscriptores
        inscritos; abonnenten; zuschauer; 粉丝; 涨粉
        """),
    # Selling reach, goods and accounts.
    CueKind("sell", 3, """
        buy followers; buy viewers; buy subs; buy likes; cheap viewers; cheap followers; best viewers
        cheapest viewers; top viewers; best followers; real viewers; get more viewers; get more followers
        get viewers
        get followers; gain followers; viewers and followers; followers and viewers; live viewers; viewbot*
        boost your*; boost ur; grow your channel; grow your stream; grow your twitch; promote your; promoting twitch
        promote twitch
        promotion service; graphic designer; stream overlays; emotes and overlays; custom emotes; design your
        seo service; cheap prices; i am selling; im selling; buy now; order now
        gift card; gift cards; giftcard*; promo code; promocode; discount code; coupon; use code; use my code
        referral; referal; ref link; invite code; sign up bonus; free skins; free nitro; free robux; free vbucks
        free v bucks; free followers; free gift; free iphone
        promo viewers; remove the space; remove space; delete the space; without the space; without spaces
        накрутка; накрутить; накрутка подписчиков; куплю аккаунт; промокод; купим ваши; куплю ваши; фальш рубли
        фальшивые купюры; рассылка; рассылки; реклама в; по выгодной цене; низкие цены; лучшие цены
        verkaufe; rabattcode; vendo; compra seguidores; se vende; vends; satilik; satılık
        代刷; 刷粉; 刷量; 低价出; 收购; 收購; 招代理; 招商; 承接; 货源; 直销; 代充; 卖号; 卖片; 代发; 发粉; 协议号
        飞机号; 封装; 超级签; 接回; 卡接; 免费视频; 投注站; 手银; 公户
        """, anchor=True),
    # Money offers, jobs, investment, gambling.
    CueKind("earn", 2, """
        earn money; make money online; make money fast; make easy money; making money online; earn from home
        work from home; working from home; extra income; passive income; side hustle; earn up to; earn daily
        daily profit; weekly profit; daily profits; guaranteed profit; roi; investment; investing; investors
        financial freedom; trading signals; forex; binary options; crypto trading; trading platform; guaranteed
        risk free; paid daily; paid weekly; payout; payouts; double your; airdrop; presale; token
        bitcoin investment; crypto mining; bitcoin mining
        cash prize; you have won; claim your; claim now; cash prize; free entry; welcome bonus; free play
        sports betting; winning tips; fixed match*; free cash; free money
        заработок; заработка; заработать; зарабатывай; зарабатывать; зарабатываю; заработку; подработка; подработку
        подработки; халтурка; халтура; шабашка; шабашку; доход; дохода; доходом; доходность; прибыль; прибыли
        инвестиции; инвестиций; инвестировать
        вложений; вложения; без вложений; удаленно; удалённо; удаленка; удаленная работа; удаленный; работа на дому
        работенка; работа; работы; вакансия; вакансии; сотрудничество; сотрудничества; сотрудничать; набор в команду
        в команду; ищем людей; ищу людей; нужны люди; требуются; требуется
        нужен человек; нужны ребята; на руки; подзаработать; зарабатываете; продам; продаю; куплю
        скидка; скидки; скидкой; в наличии; прайс; аренда; usdt; обменник; познакомлюсь; плачу; нужны; ищу; ищем
        партнеров; партнёров; партнеры; выплаты; выплата; оплата; оплату; оплатой; зарплата; зп; трейдинг; трейдинга
        крипта; крипты; криптовалюта; криптовалюты; криптовалют; арбитраж; казино; ставки; ставка; прогноз; прогнозы
        кредит; займ; займы; долг
        заработай; пассивный; бонус; выигрыш; занятость; свободный график; удобный график; гибкий график; без опыта
        обучение; обучаем; обучим; бесплатное обучение; стабильный; стабильно; темка; темку; схема; направление
        направления
        geld verdienen; nebenverdienst; dinero; ganar dinero; ganhar dinheiro; renda extra; gagner de l argent
        兼职; 兼職; 日结; 日結; 月入; 日入; 日赚; 赚钱; 賺錢; 高薪; 工资; 返利; 返现; 博彩; 菠菜; 彩票; 娱乐城; 投注
        首充; 提现; 承兑; 灰产; 跑分; 洗钱; 洗米; 收卡; 银行卡; 卡商; 套现; 贷款; 借款; 担保; 招募; 车队
        盗u; 出u; 收u; 数据; 群发; 采集; 筛号; 引流; 暴利; 项目合作; 诚招; 急需; 急用钱
        """, anchor=True),
    CueKind("sum", 1, """
        per day; per week; per month; a day; a week; a month; daily; weekly; dollars; usd; usdt; btc; eth; bitcoin
        in 24 hours; per hour; within
        в день; в неделю; в месяц; в час; за смену; за час; за пару; за неделю; за день; на день; рублей; руб; тысяч
        тыс; долларов; баксов; ежедневно; ежедневные; ежедневная; каждый день; pro tag; por dia; al dia
        每天; 一天; 每日; 元; 万; 块
        """),
    CueKind("adult", 3, """
        nude pics; my nudes; sexy pics; hot girls; escort; escorts; hookup; sex chat; cam girl; camgirl; webcam girl
        18 plus; dating site; meet girls; lonely girls; send nudes
        интим; интимные; интимных; проститутки; индивидуалки; эскорт; эскорта; голые; обнаженные; нюдсы; интим досуг
        закладки; закладок; кладмен; меф; шишки; раздеть; раздевает; массаж
        约炮; 約炮; 上门服务; 援交; 裸聊; 裸照; 少妇; 成人视频; 看片; 买片; 福利视频; 小视频; 迷药; 催情; 查档
        """, anchor=True),
    # How to get in touch; alone it says little.
    CueKind("contact", 1, """
        dm me; dm for; dm us; pm me; message me; inbox me; text me; txt me; write me; write to me; whisper me
        hit me up; hmu; contact me; contact us; reach me; add me on; add me; my discord; discord me; on discord
        dis cord; disc ord; discord; my snap; my whatsapp; whatsapp; telegram
        my username; my handle; my id is; kik; skype; viber; wechat; details in; for more info; for info
        more details; interested; if interested; call now; call us; reply; text
        в лс; в личку; лс; личку; личные; личных; личные сообщения; в личные; пиши; пишите; напиши; напишите; писать
        ставь; ставьте; плюс; обращайтесь; подробности; подробнее; связь; контакт; контакты; жду; расскажу
        расскажем; отвечу; звоните; телега; ватсап; профиле
        schreib mir; schreibt mir; meldet euch; escribeme; escríbeme; chama; chama no; me chama
        加我; 联系; 聯繫; 联系我; 私聊; 私信; 咨询; 諮詢; 加微; 微信; 威信; 薇信; vx; 加q; 扣扣; qq; 加群; 进群
        电报; 飞机; 飛機; 看名字; 看我名字; 看简介; 看頭像; 看头像; 主页; 纸飞机; tg; 客服; 热线; 有意
        """),
    CueKind("befriend", 3, """
        add me on discord; discord me; add me on dis; connect with me on; connect on discord
        add up on discord; hit me up on; lets connect on; add me up on discord; on discord to
        hit me up on discord; dm me on; dm me on discord; my discord is; my discord name; discord username
        my username on; my discord id; be friends on discord; add me as a friend; friend me on
        dm me for; pm me for; whatsapp me; message me on; text me on; contact me on; write me on; kindly add
        kindly follow; kindly dm; contact me for; contact her on; contact him on; message her on
        писать в лс; пишите в лс; пиши в лс; жду в лс; пишите в личку; пиши в личку; пишите в личные; напишите в лс
        напиши в лс; пишите мне; писать мне; детали в лс; подробности в лс; подробнее в лс; инфа в лс
        в личные сообщения; все вопросы в лс; плюс в лс; ставь плюс; ставьте плюс
        看名字加我; 加我微信; 加微信; 加我q; 加我vx; 有意联系; 联系方式; 需要的联系; 加我飞机; 私聊我; 懂的来
        需要的来; 有意者; 看我主页; 点我头像; 点头像; 看简界; 看我简介; 名字看片; 看片名字
        """, anchor=True),
    CueKind("greeting", 1, """
        hello everyone; hi everyone; hey everyone; hey guys; hi guys; hello guys; hello friends; hello all
        всем привет; привет всем; здравствуйте; приветствую; добрый день; доброго времени; доброго дня; друзья
        hallo leute; hola a todos; 大家好
        """),
    CueKind("please", 1, """
        pleas*; plea*; please; plz; pls; plss; pleas; pleease; kindly; bitte; porfa; por favor; пожалуйста; плиз; 求求
        """, both=True),
    CueKind("lure", 1, """
        free; free test; for free; cheap; best price; discount; click here; click the; link; limited time; hurry
        hurry up; join now; today only; urgent; exclusive; official; 100 legit; legit; trusted; 100 real; instantly
        easily; no survey; opportunity; offer; register
        бесплатно; срочно; быстро; официально; гарантия; гарантируем; анонимно; легко; легкий; лёгкий; качественно
        акция; предложение; предложения; возможность; отличная возможность; только сегодня; успей; количество мест
        места ограничены; честно; проверено
        gratis; kostenlos; grátis; gratuit; ücretsiz; 免费; 安全; 长期; 稳定; 正规; 实力; 一手; 老牌; 诚信; 全网
        最低; 秒; 靠谱; 合作
        """),
    # Begging.
    CueKind("give", 1, """
        give me; give us; gimme; gib; send me; gift me; gift us; lend me; loan me; lend; donate; donation; donations
        buy me; get me; can i get; can i have; can i also; could i get; could i have; can someone; can somebody
        can anyone; could someone; could anyone
        someone give; anyone give; can u send; can you send; could u give; could you give; can u give; can you give
        would you give; i need; need a; tip me; pay my; pay for my; sponsor me; venmo; cashapp; cash app; paypal
        zelle; gofundme; share with me
        spare; help me; help with my; can u help; can you help; help pay; lost everything; lost all; i lost; im poor
        i am poor; im broke; i am broke; in need; in trouble; raising; ayuda; ayudame; ajuda; manda; mandame
        подари; подарите; дай; дайте; скинь; скиньте; закинь; закиньте; задонать; одолжи; одолжите; помогите
        schenkt mir; schenk mir; gib mir; spendet; regalame; regálame; me da; 送我; 给我; 借我; 打赏我; 施舍
        """, anchor=True, begging=True),
    CueKind("goods", 2, """
        money; a sub; sub; subs; gift sub; gifted sub; gifted; dollars; dollar; bucks; vbucks; v bucks; robux; nitro
        a tip; cash; credits; skins; battle pass; game pass; a gift; a gifted; free money
        деньги; денег; деньгами; рублей; рубль; сотку; подписку; сабку; голду; скин; geld; ein abo; dinero; plata
        sub regalada; dinheiro; grana; 钱; 红包; 紅包; 礼物; 禮物; 皮肤
        """, begging=True),
    CueKind("plight", 1, """
        rent; my bills; bills; medical; medicine; surgery; hospital; cancer; charity; loan; wallet; 100k; 10k; 5k
        1k; 20k; 50k; poor; broke; homeless; family; kids
        """, begging=True),
    CueKind("beg", 3, """
        gift me a sub; gift me sub; gift me; gift a sub to me; gift sub to me; can i get a sub; can i get gifted
        can i get a gifted; can i have a sub; can i also have a sub; gib sub; gimme sub; give me a sub; any gifters
        any gifter; gifted pls; gifted please; give me money; send me money; lend me; give me some money
        give me dollars; give me some dollars
        please donate; donate to me; donate me; tip me pls; tip me please; please tip me; tip me bro; send me a tip
        send a tip; i need money; pay my rent; pay my bills; cashapp me; cash app me; venmo me; paypal me; zelle me
        my cashapp; my cash app; help me pay; help pay my; can i get money; need a loan; give me robux; sub me pls
        need a sub; buy me a
        подари подписку; дай денег; дайте денег; скиньте денег; скинь денег; помогите деньгами; задонать мне
        schenkt mir ein abo; schenk mir ein abo; regalame una sub; regálame una sub; me da um sub; 求红包; 发红包
        求打赏; 送我礼物
        """, anchor=True, begging=True),
)  # fmt: skip
